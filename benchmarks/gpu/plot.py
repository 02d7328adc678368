"""Draw the last run in benchmarks/results/gpu.csv: architectures a second, and how the cost grows.

pip install '.[bench]'
python benchmarks/gpu/plot.py
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

RESULTS = Path(__file__).resolve().parents[1] / "results"

COLOURS = {"float32": "tab:blue", "bfloat16": "tab:orange", "tf32": "tab:green"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=RESULTS / "gpu.csv")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.png")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.rows)
    figure, (rates, networks, batch) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    throughput = last(rows, "throughput")
    draw_rates(rates, throughput)
    growth = last(rows, "growth")
    draw_growth(networks, growth, "architectures")
    draw_growth(batch, growth, "batch")
    shown = throughput.iloc[0]
    where = shown["gpu"] if shown["device"] == "cuda" else f"{shown['cpu']}, a rehearsal"
    figure.suptitle(f"{where}, torch {shown['torch']}, triton {shown['triton']}, {shown['date']}", size=9)
    figure.savefig(arguments.out, dpi=110)
    print(f"drawn to {arguments.out}")


def last(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """The rows of ``part`` in the last run that has them: the last ones that follow one another."""
    of_part = rows["part"] == part
    if not of_part.any():
        raise SystemExit(f"no rows of part {part!r}; python benchmarks/gpu makes them")
    runs = (of_part != of_part.shift()).cumsum()
    return rows[of_part & (runs == runs[of_part].iloc[-1])]


def draw_rates(axes: Any, rows: pd.DataFrame) -> None:
    """Architectures a second of each contender, over how many run at once."""
    rows = rows[rows["unit"] == "1/s"]
    for precision, colour in COLOURS.items():
        own = rows[rows["precision"] == precision]
        tied = own[own["variant"] == "tied"].sort_values("networks")
        axes.plot(tied["networks"], tied["value"], "o-", color=colour, label=f"tied, {precision}")
        for variant, line in (("fresh", "--"), ("published", ":")):
            for rate in own.loc[own["variant"] == variant, "value"]:
                axes.axhline(rate, linestyle=line, color=colour, label=f"{variant}, {precision}")
    axes.set(xscale="log", yscale="log", xlabel="architectures at once", ylabel="architectures a second")
    axes.legend(fontsize=8)


def draw_growth(axes: Any, rows: pd.DataFrame, axis: str) -> None:
    """Seconds of one step over one axis, with the exponent of each precision."""
    part = rows[rows["variant"] == f"cost over {axis}"]
    for precision, own in part.groupby("precision"):
        points = own[own["size"].notna()]
        exponent = own.loc[own["unit"] == "exponent", "value"].iloc[0]
        label = f"{precision}: exponent {exponent:.2f}"
        axes.plot(points["size"], points["median_s"], "o-", color=COLOURS[str(precision)], label=label)
    axes.set(xscale="log", yscale="log", xlabel=axis, ylabel="seconds a step", title=f"cost over {axis}")
    axes.legend(fontsize=8)


if __name__ == "__main__":
    main()
