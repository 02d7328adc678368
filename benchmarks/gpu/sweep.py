"""The whole of NAS-Bench-201 by score_many, as a user calls it, and how well bfloat16 ranks as float32 does."""

from __future__ import annotations

import time
from typing import Any

import torch
from running import SPACE, Run, sampled
from scipy import stats

import zeroscore as zs
from zeroscore.spaces import nasbench201
from zeroscore.types import Precision

_BAR_S = 15


def measure(run: Run) -> None:
    images = run.images().cpu()
    wanted = run.choose(list(SPACE), sampled(24))
    taken: list[tuple[str, float, zs.Ranking]] = []
    order: tuple[Precision, ...] = ("bfloat16", "bfloat16", "float32")
    for precision in order:
        if precision == "float32" and run.left_s < 2 * taken[-1][1]:
            print(f"float32 left out: {run.left_s:.0f} s are left")
            break
        wall_s, ranking = swept(run, wanted, images, precision)
        first = not any(done == precision for done, _, _ in taken)
        taken.append((precision, wall_s, ranking))
        failed = int((ranking.frame["status"] != "OK").sum())
        print(
            f"{precision}, {'kernels new to it compiled and tuned on the way' if first else 'again'}: {wall_s:.2f} s; "
            f"{len(wanted):,} architectures by {ranking.classes:,} networks, {failed} without a score"
        )
        run.row(
            "first" if first else "again",
            precision=precision,
            networks=ranking.classes,
            size=len(wanted),
            value=wall_s,
            unit="s",
            median_s=wall_s / len(wanted),
        )
        if precision == "float32":
            run.figure("whole space, float32", f"{wall_s:.1f} s")
        elif first:
            run.figure("whole space, bfloat16, the first time here", f"{wall_s:.1f} s")
        else:
            run.figure("whole space, bfloat16, wall clock", f"{wall_s:.1f} s", f"<= {_BAR_S} s", wall_s <= _BAR_S)
            run.figure("whole space, bfloat16, architectures answered a second", f"{len(wanted) / wall_s:,.0f}")
            same = (ranking.frame["naswot"].fillna(0) == taken[0][2].frame["naswot"].fillna(0)).mean()
            run.figure("whole space again: equal scores", f"{same:.1%}")
    if taken[-1][0] == "float32":
        pair = taken[0][2].frame["naswot"], taken[-1][2].frame["naswot"]
        scores = torch.stack([torch.from_numpy(values.to_numpy(dtype="float64").copy()) for values in pair])
        finite = scores[:, scores.isfinite().all(0)].numpy()
        tau = stats.kendalltau(*finite).statistic
        run.row("kendall tau, bfloat16 and float32", size=finite.shape[1], value=tau)
        run.figure("whole space, bfloat16 and float32: Kendall's tau", f"{tau:.4f}")


def swept(run: Run, wanted: list[Any], images: torch.Tensor, precision: Precision) -> tuple[float, zs.Ranking]:
    """Wall clock of one sweep from nothing: classes worked out and weights drawn again, as in a process of its own."""
    nasbench201._representatives.cache_clear()
    nasbench201._tied_weights.cache_clear()
    run.synchronize()
    start = time.perf_counter()
    ranking = zs.score_many(SPACE, wanted, images, tie_weights=True, precision=precision, device=run.device)
    return time.perf_counter() - start, ranking
