"""An architecture drawn as a small inline SVG: NAS-Bench-201 and NAS-Bench-101 cells as graphs, others as text."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from html import escape

from zeroscore.archs.genotype import Genotype
from zeroscore.archs.graph import CellGraph
from zeroscore.spaces.batched import EDGES
from zeroscore.spaces.nasbench201 import Cell
from zeroscore.spaces.nats_size import Channels

_STYLE = {
    "3×3": ("#0072b2", "3", ""),
    "1×1": ("#b34700", "2.2", ""),
    "pool": ("#00704f", "2.2", "7 4"),
    "skip": ("#333", "1.4", ""),
    "none": ("#777", "1.2", "1 5"),
    "": ("#333", "1.4", ""),
}
"""Colour, width and dashes of an edge: told apart without colour too, and at least 4.5 to 1 against white."""

_SHORT = {
    **{"nor_conv_3x3": "3×3", "nor_conv_1x1": "1×1", "avg_pool_3x3": "pool", "skip_connect": "skip", "none": "none"},
    **{"conv3x3-bn-relu": "3×3", "conv1x1-bn-relu": "1×1", "maxpool3x3": "pool"},
}
_GAP, _RISE, _HALF = 104, 40, 15

Edge = tuple[int, int, str]
"""From, to, what it does."""


def picture(arch: Hashable) -> str:
    """HTML of ``arch``: an SVG, or its text in lines; escaped."""
    if isinstance(arch, Cell):
        edges = [(source, target, _SHORT[op]) for (target, source), op in zip(EDGES, arch.ops, strict=True)]
        return _svg(str(arch), ["in", "1", "2", "out"], edges)
    if isinstance(arch, CellGraph):
        vertices = ["in", *(_SHORT[op] for op in arch.ops), "out"]
        return _svg(
            str(arch), vertices, [(s, t, "") for s, row in enumerate(arch.matrix) for t, e in enumerate(row) if e]
        )
    if isinstance(arch, Channels):
        return _widths(arch)
    return f'<pre class="arch">{escape(_lines(arch))}</pre>'


def _svg(text: str, vertices: Sequence[str], edges: Sequence[Edge]) -> str:
    """Vertices on a line in their order; edges between neighbours along it, all others as arcs that share no height."""
    arcs = _levels([(s, t) for s, t, _ in edges if t > s + 1])
    up = max([level for level in arcs.values() if level > 0], default=0)
    down = -min([level for level in arcs.values() if level < 0], default=0)
    middle = up * _RISE + 36
    width, height = (len(vertices) - 1) * _GAP + 60, middle + down * _RISE + 36
    parts = []
    for source, target, op in edges:
        colour, thick, dash = _STYLE[op]
        level = arcs.get((source, target), 0)
        side = -1 if level > 0 else 1 if level else 0
        x1, x2 = 30 + source * _GAP, 30 + target * _GAP
        if level:
            # The control points of a cubic lie a third beyond the top that it reaches.
            y, apex = middle + side * _HALF, middle - level * _RISE
            control = y + (apex - y) * 4 / 3
            x1, x2 = x1 + 7, x2 - 7
            lean = 0.16 * (x2 - x1)
            path = f"M{x1} {y}C{x1 + lean:.0f} {control:.0f} {x2 - lean:.0f} {control:.0f} {x2} {y - side * -4}"
            tip = f"M{x2} {y}l-7 {side * 8}l10 {side * 2}z"
            label = ((x1 + x2) / 2, apex + 5)
        else:
            x1, x2 = x1 + _HALF + 4, x2 - _HALF - 4
            path, tip = f"M{x1} {middle}H{x2 - 4}", f"M{x2} {middle}l-9 -5v10z"
            label = ((x1 + x2) / 2 - 3, middle + 5)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{thick}"{dashes}/>')
        parts.append(f'<path d="{tip}" fill="{colour}"/>')
        if op:
            parts.append(
                f'<text class="edge" x="{label[0]:.0f}" y="{label[1]:.0f}" fill="{colour}">{escape(op)}</text>'
            )
    for i, name in enumerate(vertices):
        x = 30 + i * _GAP
        parts.append(f'<rect x="{x - 22}" y="{middle - _HALF}" width="44" height="30" rx="15" class="vertex"/>')
        parts.append(f'<text x="{x}" y="{middle + 5}">{escape(name)}</text>')
    return _drawn(text, width, height, "".join(parts))


def _levels(arcs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """How high each arc rises, below the line where negative: above all shorter ones on its side that it overlaps.

    >>> _levels([(0, 2), (0, 3), (1, 3)])
    {(0, 2): 1, (1, 3): -1, (0, 3): 2}
    """
    found: dict[tuple[int, int], int] = {}
    for source, target in sorted(arcs, key=lambda arc: (arc[1] - arc[0], arc)):
        heights = [
            1 + max([side * n for (s, t), n in found.items() if side * n > 0 and s < target and source < t], default=0)
            for side in (1, -1)
        ]
        found[source, target] = heights[0] if heights[0] <= heights[1] else -heights[1]
    return found


def _widths(arch: Channels) -> str:
    bars = "".join(
        f'<rect x="{12 + 56 * i}" y="{84 - c}" width="40" height="{c}" class="bar"/>'
        f'<text x="{32 + 56 * i}" y="{78 - c}">{c}</text>'
        for i, c in enumerate(arch.channels)
    )
    return _drawn(str(arch), 8 + 56 * len(arch.channels), 92, bars)


def _drawn(text: str, width: int, height: int, inside: str) -> str:
    box = f'width="{width}" viewBox="0 0 {width} {height}"'
    return f'<svg class="cell" {box} role="img" aria-label="{escape(text)}">{inside}</svg>'


def _lines(arch: Hashable) -> str:
    if isinstance(arch, Genotype):
        parts = []
        for cell, edges, concat in (
            ("normal", arch.normal, arch.normal_concat),
            ("reduce", arch.reduce, arch.reduce_concat),
        ):
            nodes = [" + ".join(f"{op}({i})" for op, i in edges[n : n + 2]) for n in range(0, len(edges), 2)]
            parts += [f"{cell}, output {', '.join(map(str, concat))}"]
            parts += [f"  {number} = {node}" for number, node in enumerate(nodes, 2)]
        return "\n".join(parts)
    return str(arch)
