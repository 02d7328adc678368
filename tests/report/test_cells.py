"""Cells drawn as graphs: every edge is there with its operation, nothing lies on anything else."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import zeroscore as zs
from zeroscore.archs.genotype import Genotype
from zeroscore.archs.graph import CellGraph
from zeroscore.report.cells import picture
from zeroscore.spaces.nats_size import Channels

SHORT = {"avg_pool_3x3": "pool", "none": "none", "nor_conv_1x1": "1×1", "nor_conv_3x3": "3×3", "skip_connect": "skip"}


def texts(svg: ElementTree.Element, css: str | None) -> list[tuple[float, float, str]]:
    found = [element for element in svg.iter("text") if element.get("class") == css]
    return [(float(e.get("x", "")), float(e.get("y", "")), e.text or "") for e in found]


@pytest.mark.parametrize("seed", range(20))
def test_a_cell_shows_its_six_operations(seed: int) -> None:
    cell = zs.load_space("nasbench201").sample(np.random.default_rng(seed))
    svg = ElementTree.fromstring(picture(cell))
    edges = texts(svg, "edge")
    assert svg.get("aria-label") == str(cell)
    assert sorted(text for *_, text in edges) == sorted(SHORT[op] for op in cell.ops)
    assert [text for *_, text in texts(svg, None)] == ["in", "1", "2", "out"]
    # From left to right in one row, an operation is on the edge between two neighbours: 0->1, 1->2, 2->3.
    (row,) = {y for _, y, _ in texts(svg, None)}
    assert [text for _, y, text in sorted(edges) if y == row] == [SHORT[cell.ops[i]] for i in (0, 2, 5)]
    # Above and below it, by how far they reach: the middles of 0->2, 0->3 and 1->3.
    assert [text for _, y, text in sorted(edges) if y != row] == [SHORT[cell.ops[i]] for i in (1, 3, 4)]
    # An arc leaves its vertex on the side on which it runs.
    arcs = re.findall(r"M\S+ (\S+)C\S+ (\S+) ", " ".join(path.get("d", "") for path in svg.iter("path")))
    row -= 5  # text stands on its line; vertices are centred on theirs
    assert len(arcs) == 3
    assert all((float(start) < row) == (float(control) < row) for start, control in arcs)
    for x, y, _ in edges:
        others = [(a, b) for a, b, _ in (*edges, *texts(svg, None)) if (a, b) != (x, y)]
        assert all(abs(a - x) > 40 or abs(b - y) > 18 for a, b in others)


def test_a_graph_shows_every_vertex_and_edge() -> None:
    cell = CellGraph.from_matrix([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0] * 4], ["conv3x3", "maxpool3x3"])
    svg = ElementTree.fromstring(picture(cell))
    assert [text for *_, text in texts(svg, None)] == ["in", "3×3", "pool", "out"]
    assert sum(path.get("fill") == "none" for path in svg.iter("path")) == 6


def test_widths_are_bars() -> None:
    svg = ElementTree.fromstring(picture(Channels((8, 64, 16, 32, 40))))
    assert [float(bar.get("height", "")) for bar in svg.iter("rect")] == [8, 64, 16, 32, 40]
    assert [text for *_, text in texts(svg, None)] == ["8", "64", "16", "32", "40"]


def test_others_are_text() -> None:
    normal = (("skip_connect", 0), ("sep_conv_3x3", 1), ("dil_conv_3x3", 0), ("none", 2))
    lines = re.sub("<[^>]*>", "", picture(Genotype(normal, (2, 3), normal[:2], (2,)))).splitlines()
    assert lines == [
        "normal, output 2, 3",
        "  2 = skip_connect(0) + sep_conv_3x3(1)",
        "  3 = dil_conv_3x3(0) + none(2)",
        "reduce, output 2",
        "  2 = skip_connect(0) + sep_conv_3x3(1)",
    ]
    assert picture("<b>&") == '<pre class="arch">&lt;b&gt;&amp;</pre>'
