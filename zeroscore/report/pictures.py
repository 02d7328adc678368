"""The main plot without a browser, for papers: accuracy against score as PNG, PDF or SVG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zeroscore.metrics import kendall
from zeroscore.report.sweep import Sweep
from zeroscore.types import ZeroscoreError

SUFFIXES = (".png", ".pdf", ".svg")

VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b")
"""The viridis map, readable by the colour-blind, without its last tenth, which white paper swallows."""


def save_plot(sweep: Sweep, path: Path) -> None:
    """Write accuracy against the chosen score to ``path``, in the format its suffix names; failed scores on a strip.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    chosen = sweep.chosen
    finite = np.isfinite(chosen.values)
    failed = chosen.failed
    # svg.hashsalt and metadata: equal input gives equal files; fonttype 42: text stays text in a PDF.
    style = {"svg.fonttype": "none", "svg.hashsalt": "zeroscore", "pdf.fonttype": 42, "font.size": 9}
    with rc_context(style):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        if failed:
            strip, axes = figure.subplots(1, 2, sharey=True, width_ratios=(1, 12))
        else:
            strip, axes = None, figure.subplots()
        look = {
            "cmap": LinearSegmentedColormap.from_list("viridis90", VIRIDIS),
            "vmin": sweep.size.min(),
            "vmax": sweep.size.max(),
            "s": 6 if len(sweep.archs) > 1000 else 16,
            "linewidths": 0,
            "rasterized": len(sweep.archs) > 2000,
        }
        order = np.argsort(sweep.size[finite], kind="stable")
        dots = axes.scatter(
            chosen.values[finite][order], sweep.accuracies[finite][order], c=sweep.size[finite][order], **look
        )
        if strip is not None:
            jitter = np.random.default_rng(0).random(failed)
            strip.scatter(jitter, sweep.accuracies[~finite], c=sweep.size[~finite], marker="D", **look)
            axes.tick_params(left=False)
            strip.spines[["top", "right"]].set_visible(False)
            strip.set(xticks=[], xlim=(-0.3, 1.3), xlabel=f"failed\n({failed:,})")
        estimate = ", an estimate" if sweep.metric.estimated else ""
        (strip or axes).set_ylabel(f"accuracy, % ({sweep.metric.column}{estimate})")
        axes.set_xlabel(chosen.name + (" (lower is better)" if not chosen.higher_is_better else ""))
        axes.set_title(_caption(sweep), fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        figure.colorbar(dots, ax=axes, label=sweep.size_name)
        kind = path.suffix.lower().removeprefix(".")
        undated = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
        figure.savefig(path, format=kind, dpi=200, metadata=undated)


def _caption(sweep: Sweep) -> str:
    """The rank correlation, where there is one."""
    n = f"{len(sweep.archs):,} architectures"
    try:
        tau = kendall(sweep.chosen.order, sweep.accuracies, neg_inf="drop")
    except ZeroscoreError:
        return n
    left_out = f", {sweep.chosen.failed:,} failed left out of τ" if sweep.chosen.failed else ""
    return f"{n}, Kendall τ {tau:.3f}{left_out}"
