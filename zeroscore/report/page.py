"""The page's text: one jinja2 template, with plotly.js, styles, script and data inside, and nothing outside."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from zeroscore.report.cells import picture
from zeroscore.report.pictures import VIRIDIS
from zeroscore.report.sweep import Correlation, Floats, Predictor, Sweep
from zeroscore.search import SearchResult
from zeroscore.types import Code

MOST_CHECKBOXES = 12
"""Distinct static numbers up to which each has a checkbox; more are filtered by a range."""

BEST = 6
"""Architectures drawn, beside the most accurate one."""


@dataclass(frozen=True)
class Kernel:
    """An overlap kernel as it is drawn.

    Attributes:
        arch: the architecture that it stands for.
        network: the text of the architecture that was built.
        units: N_A, what every image agrees with itself in.
        percent: ``[B, B]``, percent of the units in which two images agree.
        labels: what is on each image, in the order of the rows; None where that is not known.
        batch: images of the whole batch.
        images: "of the scores" where their provenance says so, else "named".
        count: which ReLU applications count.
        seed: of weights and images.
    """

    arch: str
    network: str
    units: int
    percent: Floats
    labels: tuple[str, ...] | None
    batch: int
    images: str
    count: str
    seed: int


def render(
    sweep: Sweep,
    rows: Sequence[Correlation],
    histories: Mapping[str, SearchResult[Any]],
    kernel: Kernel | None,
    why_no_kernel: str,
    *,
    title: str,
    provenance: Mapping[str, str],
) -> str:
    """The whole page. Text of users is escaped by the template, and by ``_json`` where it is data of the script."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    here = files(__package__)
    scripts = {"plotly": get_plotlyjs(), "script": (here / "page.js").read_text(encoding="utf-8")}
    environment = Environment(
        loader=PackageLoader("zeroscore.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "whole": lambda n: f"{n:,}"}
    best = sweep.best(BEST)
    worth = {population: _champions(rows, population) for population in ("all", "live")}
    text: str = environment.get_template("page.html").render(
        **scripts,
        hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts.values()),
        style=(here / "page.css").read_text(encoding="utf-8"),
        data=_json(_data(sweep, histories, kernel)),
        title=title,
        sweep=sweep,
        rows=[(row, worth[row.population]) for row in rows],
        best=[_card(sweep, i, place) for place, i in enumerate(best, 1)],
        most_accurate=_card(sweep, sweep.most_accurate, None),
        best_by_score=best[0],
        histories={name: _told(result) for name, result in histories.items()},
        kernel=kernel,
        why_no_kernel=why_no_kernel,
        provenance=provenance,
    )
    return text


def _data(sweep: Sweep, histories: Mapping[str, SearchResult[Any]], kernel: Kernel | None) -> dict[str, Any]:
    # As the points have them, for the page compares the two.
    size = _brief(sweep.size)
    sizes = sorted({number for number in size if number is not None})
    return {
        "archs": sweep.archs,
        "accuracy": sweep.accuracies.tolist(),
        "column": sweep.metric.column,
        "estimated": sweep.metric.estimated,
        "size": size,
        "size_name": sweep.size_name,
        "sizes": sizes if len(sizes) <= MOST_CHECKBOXES else None,
        "colours": VIRIDIS,
        "predictors": [_column(predictor) for predictor in sweep.predictors],
        "reasons": {str(i): reason for i, reason in sweep.reasons.items()},
        "trajectories": [
            {
                "name": name,
                "objective": result.objective,
                "simulated": "cost" in result.provenance,
                "x": x,
                "y": y,
            }
            for name, result in histories.items()
            for x, y in [_best_so_far(result)]
        ],
        "kernel": kernel
        and {
            "percent": kernel.percent.tolist(),
            "labels": kernel.labels,
        },
    }


def _column(predictor: Predictor) -> dict[str, Any]:
    codes = list(dict.fromkeys(predictor.codes))
    return {
        "name": predictor.name,
        "static": predictor.static,
        "higher_is_better": predictor.higher_is_better,
        "values": _brief(predictor.values),
        "codes": codes,
        # Most often nothing failed, and one word says so for all.
        "code": [codes.index(code) for code in predictor.codes] if codes != [Code.OK] else None,
    }


def _brief(values: Floats) -> list[float | None]:
    """Eight digits, which no screen shows; null where there is no number."""
    return [float(f"{value:.8g}") if math.isfinite(value) else None for value in values.tolist()]


def _best_so_far(result: SearchResult[Any]) -> tuple[list[float], list[float]]:
    """Simulated seconds and the best value until then, at every trial that has one before or at it."""
    frame = result.to_pandas()
    values = frame["value"].to_numpy(dtype=np.float64)
    best = np.fmax.accumulate(np.where(np.isfinite(values), values, np.nan))
    there = np.isfinite(best)
    return frame["elapsed_s"].to_numpy()[there].tolist(), best[there].tolist()


def _told(result: SearchResult[Any]) -> dict[str, str]:
    """What a trajectory's values and seconds are."""
    return {
        "searcher": f"{result.searcher}, seed {result.seed}",
        "trials": f"{len(result.history):,}",
        "best": f"{result.best.value:.4g}",
        "value": result.provenance.get("fitness", result.objective),
        "seconds": result.provenance.get("cost", "as scored"),
    }


def _card(sweep: Sweep, i: int, place: int | None) -> dict[str, Any]:
    rank = 1 + int(np.count_nonzero(sweep.chosen.order > sweep.chosen.order[i]))
    value = sweep.chosen.values[i]
    return {
        "place": place,
        "rank": rank,
        "svg": picture(sweep.parsed[i]),
        "arch": sweep.archs[i],
        "score": _number(value) if math.isfinite(value) else sweep.chosen.codes[i],
        "accuracy": f"{sweep.accuracies[i]:.2f}",
    }


def _champions(rows: Sequence[Correlation], population: str) -> dict[str, float]:
    """The highest figure of each measure in a population."""
    measures = ("kendall", "spearman", "ndcg", "top_decile")
    figures = {m: [asdict(row)[m] for row in rows if row.population == population] for m in measures}
    return {m: max((f for f in found if math.isfinite(f)), default=math.inf) for m, found in figures.items()}


def _figure(value: float) -> str:
    """Three decimals with a true minus sign; a dash where a measure is undefined.

    >>> _figure(-0.1234), _figure(float("nan"))
    ('−0.123', '–')
    """
    return f"{value:.3f}".replace("-", "−") if math.isfinite(value) else "–"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _json(value: object) -> str:
    """JSON that can stand inside a script element: no character of it opens a tag, an entity or a line."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
