"""Draw the last run in benchmarks/results/speed.csv.

pip install '.[bench]'
python benchmarks/speed/plot.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

RESULTS = Path(__file__).resolve().parents[1] / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=RESULTS / "speed.csv")
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.png")
    arguments = parser.parse_args()
    rows = last_run(pd.read_csv(arguments.rows))
    figure, (bars, curves) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    one = rows[rows["part"] == "one architecture"]
    labels = [f"{variant}\n{ratio:.1f}x" for variant, ratio in zip(one["variant"], one["ratio"], strict=True)]
    errors = [one["median_s"] - one["p20_s"], one["p80_s"] - one["median_s"]]
    bars.bar(labels, one["median_s"], yerr=errors, capsize=4, color=["0.6", "tab:blue", "tab:orange"])
    bars.set(ylabel="seconds, build included", title=f"one architecture, batch {one['batch'].iloc[0]}")
    for axis in ("architectures", "units", "batch"):
        part = rows[(rows["part"] == f"cost over {axis}") & (rows["networks"] == 1)]
        exponent = part.loc[part["variant"] == "exponent", "value"].iloc[0]
        points = part[part["size"].notna()]
        sizes, seconds = points["size"] / points["size"].min(), points["median_s"] / points["median_s"].min()
        curves.plot(sizes, seconds, "o-", label=f"{axis}: exponent {exponent:.2f}")
    curves.set(xscale="log", yscale="log", xlabel="times as many", ylabel="times as long", title="cost growth")
    curves.legend()
    figure.suptitle(f"{rows['cpu'].iloc[0]}, {rows['threads'].iloc[0]} threads, torch {rows['torch'].iloc[0]}", size=9)
    figure.savefig(arguments.out, dpi=110)
    print(f"drawn to {arguments.out}")


def last_run(rows: pd.DataFrame) -> pd.DataFrame:
    """From the last row that starts a run on."""
    starts = rows.index[(rows["part"] == "one architecture") & (rows["variant"] == "published")]
    return rows.loc[starts[-1] :]


if __name__ == "__main__":
    main()
