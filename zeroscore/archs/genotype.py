"""A pair of cells, normal and reduction, as DARTS (Liu et al., ICLR 2019) and Network Design Spaces write it down."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zeroscore.types import UsageError

OPERATIONS = (
    "none",
    "skip_connect",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "conv_1x1",
    "conv_3x3",
    "conv_3x1_1x3",
    "conv_7x1_1x7",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "dil_sep_conv_3x3",
)
"""Every operation of the DARTS, ENAS, PNAS, NASNet and Amoeba spaces of Network Design Spaces."""

INPUTS = 2
"""A cell reads the outputs of the two cells before it: 0 is the one before the last, 1 the last."""

MAX_NODES = 64
"""More than any published cell has; keeps ``range(2, 10**9)`` in a text from being written out."""

Edge = tuple[str, int]
"""An operation and the index of what it reads: 0 and 1 are the cell's inputs, 2 its first node."""


@dataclass(frozen=True, slots=True)
class Genotype:
    """The two cells of a network and, where they are given, its width and depth.

    A node adds the results of its two edges, and a cell's output is the concatenation of some of its nodes.

    Attributes:
        normal: edges of the normal cell, two a node, in the order of the nodes 2, 3, ...
        normal_concat: the nodes whose concatenation is the normal cell's output.
        reduce: edges of the reduction cell.
        reduce_concat: the nodes whose concatenation is the reduction cell's output.
        width: channels of the first cells; None where whoever builds the network decides.
        depth: number of cells; None likewise.

    >>> text = "Genotype(normal=[('none', 0), ('conv_1x1', 1)], normal_concat=[2], "
    >>> text += "reduce=[('skip_connect', 1), ('conv_3x3', 0)], reduce_concat=range(2, 3), depth=8)"
    >>> Genotype.parse(text).reduce
    (('skip_connect', 1), ('conv_3x3', 0))
    """

    normal: tuple[Edge, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Edge, ...]
    reduce_concat: tuple[int, ...]
    width: int | None = None
    depth: int | None = None

    def __str__(self) -> str:
        cells = [f"{name}={list(getattr(self, name))}" for name in _CELL_FIELDS]
        sizes = [f"{name}={getattr(self, name)}" for name in _SIZES if getattr(self, name) is not None]
        return f"Genotype({', '.join(cells + sizes)})"

    @classmethod
    def parse(cls, text: str, operations: Sequence[str] = OPERATIONS) -> Genotype:
        """The genotype that ``text`` writes down, as ``Genotype(normal=[...], ...)`` or as a JSON object.

        Nothing in the text is executed. Concatenations may be lists, tuples or ``range(a, b)``; the JSON object is the
        genotype, or what ``from_nds`` reads.

        Args:
            text: ``str`` of a genotype, its ``repr``, a line of a published genotypes file, or JSON.
            operations: the names that edges may have.

        Raises:
            UsageError: what is wrong, and at which node.
        """
        if not isinstance(text, str):
            raise UsageError(f"a genotype must be a string such as {_EXAMPLE!r}, not {type(text).__name__}")
        fields = _from_json(text) if text.lstrip().startswith("{") else _from_call(text)
        return _checked(fields, operations, _shown(text))

    @classmethod
    def from_nds(cls, net: Mapping[str, Any], operations: Sequence[str] = OPERATIONS) -> Genotype:
        """The genotype of an entry's ``net`` in the json files of Network Design Spaces.

        Args:
            net: ``{"genotype": {"normal": [[op, index], ...], "normal_concat": [...], "reduce": ..., "reduce_concat":
                ...}, "width": 16, "depth": 8, ...}``; other keys ("aux", the auxiliary head in training) are left out.
            operations: the names that edges may have.

        Raises:
            UsageError: what is wrong, and at which node.
        """
        return _checked(_nds_fields(net), operations, _shown(str(net)))


def complaint(genotype: Genotype, operations: Sequence[str] = OPERATIONS) -> str:
    """What keeps a value from being a genotype with these operations, in words; "" where nothing does."""
    for cell in ("normal", "reduce"):
        wrong = _wrong_edges(cell, getattr(genotype, cell), operations)
        wrong = wrong or _wrong_concat(cell, getattr(genotype, f"{cell}_concat"), len(getattr(genotype, cell)) // 2)
        if wrong:
            return wrong
    for name in _SIZES:
        size = getattr(genotype, name)
        if size is not None and (type(size) is not int or size < 1):
            return f"{name} is {_brief(size)}, expected a whole number of at least 1"
    return ""


_CELL_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_SIZES = ("width", "depth")
_FIELDS = (*_CELL_FIELDS, *_SIZES)
_EXAMPLE = "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], reduce=[...], reduce_concat=[...])"


def _wrong_edges(cell: str, edges: object, operations: Sequence[str]) -> str:
    if not isinstance(edges, tuple) or not edges:
        return f"{cell} is {_brief(edges)}, expected pairs (operation, input index), two a node"
    for place, edge in enumerate(edges):
        node = INPUTS + place // 2
        if not (isinstance(edge, tuple) and len(edge) == 2 and isinstance(edge[0], str) and type(edge[1]) is int):
            return f"edge {place} of {cell} is {_brief(edge)}, expected a pair (operation, input index)"
        op, source = edge
        if op not in operations:
            return f"unknown operation {_brief(op)} at node {node} of {cell}; known: {', '.join(operations)}"
        if not 0 <= source < node:
            loop = ", which would be a cycle" if source >= node else ""
            return f"node {node} of {cell} reads {_brief(source)}{loop}; expected one of 0..{node - 1}"
    if len(edges) % 2:
        return f"{cell} has {len(edges)} edges, expected two a node"
    if len(edges) > 2 * MAX_NODES:
        return f"{cell} has {len(edges) // 2} nodes, expected at most {MAX_NODES}"
    return ""


def _wrong_concat(cell: str, concat: object, nodes: int) -> str:
    known = f"nodes out of {INPUTS}..{INPUTS + nodes - 1}"
    if not isinstance(concat, tuple) or not concat:
        return f"{cell}_concat is {_brief(concat)}, expected {known}"
    for node in concat:
        if type(node) is not int or not INPUTS <= node < INPUTS + nodes:
            return f"{cell}_concat holds {_brief(node)}, expected {known}"
    twice = [node for node in concat if concat.count(node) > 1]
    return f"{cell}_concat holds {twice[0]} twice" if twice else ""


def _checked(fields: Mapping[str, Any] | str, operations: Sequence[str], shown: str) -> Genotype:
    """The genotype of these fields; a text in their place is what is wrong already."""
    if isinstance(fields, str):
        raise UsageError(f"genotype {shown}: {fields}")
    missing = [name for name in _CELL_FIELDS if name not in fields]
    if missing:
        raise UsageError(f"genotype {shown}: {', '.join(missing)} missing; expected {', '.join(_CELL_FIELDS)}")
    genotype = Genotype(
        _edges(fields["normal"]),
        _sequence(fields["normal_concat"]),
        _edges(fields["reduce"]),
        _sequence(fields["reduce_concat"]),
        fields.get("width"),
        fields.get("depth"),
    )
    wrong = complaint(genotype, operations)
    if wrong:
        raise UsageError(f"genotype {shown}: {wrong}")
    return genotype


def _edges(value: Any) -> Any:
    """Lists as tuples, and whatever else it is as it is: ``complaint`` has the words for that."""
    edges = _sequence(value)
    return tuple(map(_sequence, edges)) if isinstance(edges, tuple) else edges


def _sequence(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nds_fields(net: object) -> Mapping[str, Any] | str:
    if not isinstance(net, Mapping) or not isinstance(net.get("genotype"), Mapping):
        return "expected an object with 'genotype', an object of its own"
    return {**net["genotype"], **{name: net[name] for name in _SIZES if name in net}}


def _from_json(text: str) -> Mapping[str, Any] | str:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return _nds_fields(read) if "genotype" in read else read


def _from_call(text: str) -> Mapping[str, Any] | str:
    """The fields of ``Genotype(...)``, by its syntax tree alone."""
    text = re.sub(r"^\s*\w+\s*=(?=\s*Genotype\()", "", text)
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"not a genotype; expected {_EXAMPLE}"
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"):
        return f"not a genotype; expected {_EXAMPLE}"
    names = [*_FIELDS[: len(call.args)], *(keyword.arg for keyword in call.keywords)]
    unknown = [name for name in names if name not in _FIELDS]
    if unknown or len(call.args) > len(_FIELDS) or len(set(names)) < len(names):
        return f"expected each of {', '.join(_FIELDS)} at most once, found {', '.join(map(str, names))}"
    try:
        values = [_literal(node) for node in (*call.args, *(keyword.value for keyword in call.keywords))]
    except (ValueError, RecursionError) as error:
        return str(error)
    return {str(name): value for name, value in zip(names, values, strict=True)}


def _literal(node: ast.expr) -> Any:
    """The value of a constant, a list or tuple of such, or ``range`` of whole numbers.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(map(_literal, node.elts))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        ends = [_literal(end) for end in node.args]
        if node.keywords or len(ends) not in (1, 2) or not all(type(end) is int for end in ends):
            raise ValueError("range takes one or two whole numbers")
        if range(*ends)[MAX_NODES:]:
            raise ValueError(f"{ast.unparse(node)} has more than {MAX_NODES} nodes")
        return tuple(range(*ends))
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise ValueError(f"{_brief(ast.unparse(node))} is no list, name or number") from None


def _brief(value: object) -> str:
    return _shortened(repr(value), 60)


def _shown(text: str) -> str:
    return _shortened(repr(text), 80)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
