"""Architectures as sequences of tokens: what sequence models read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64

from zeroscore.archs.graph import MAX_VERTICES, CellGraph
from zeroscore.spaces.base import ChoiceSpace, Space, list_spaces, load_space
from zeroscore.spaces.nasbench101 import NASBench101
from zeroscore.spaces.nasbench201 import Cell, NASBench201
from zeroscore.types import UsageError

START = 0
"""The token that no architecture has in use: the decoder's first, and what fills up cells of fewer vertices."""

_CELL_OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_CELL_EDGES = tuple(itertools.combinations(range(4), 2))
_LINE_GRAPH = ((1, 2, 3), (4, 5), (6,), (7,), (6,), (7,), (7,))
_GRAPH_OPS = ("input", "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3", "output")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the architectures of one space are written as tokens.

    Attributes:
        length: tokens of every architecture.
        vocabulary: tokens that there are, ``START`` among them: 0 to ``vocabulary - 1``.
        write: an architecture's tokens; UsageError where it is none of the space.
    """

    length: int
    vocabulary: int
    write: Callable[[Any], tuple[int, ...]]

    def __call__(self, archs: Sequence[Hashable]) -> Int64[np.ndarray, "archs length"]:
        """Tokens of every architecture."""
        rows = [self.write(arch) for arch in archs]
        return np.array(rows, dtype=np.int64).reshape(len(rows), self.length)


def encoding_of(space: Space[Any]) -> Encoding:
    """How the architectures of ``space`` are written as tokens.

    A cell of NAS-Bench-201 is its line graph: operations as vertices between input and output, column by column of the
    adjacency matrix (35 tokens); one of NAS-Bench-101 its graph in the same way, 0 for vertices that it does not have
    (27 tokens). Any other space of independent choices has one token a place.

    Source: Luo et al., "Neural Architecture Optimization", NeurIPS 2018; Franken et al., PMLR 191, 2022.

    Raises:
        UsageError: no encoding of this space is known; the message lists those that have one.

    >>> encoding_of(load_space("nats_size")).write(load_space("nats_size").parse("8:64:16:8:8"))
    (1, 8, 2, 1, 1)
    """
    if isinstance(space, NASBench201):
        return Encoding(35, 9, partial(_cell_tokens, space))
    if isinstance(space, NASBench101):
        return Encoding(27, 7, partial(_graph_tokens, space))
    if isinstance(space, ChoiceSpace):
        places = space.choices
        tokens = {text: 1 + i for i, text in enumerate(dict.fromkeys(itertools.chain(*places.values())))}
        return Encoding(len(places), 1 + len(tokens), partial(_choice_tokens, space, tokens))
    known = [name for name in list_spaces() if _has_encoding(load_space(name))]
    raise UsageError(f"no encoding of space {space.name!r} as tokens; known: {', '.join(known)}, any ChoiceSpace")


def one_hot(tokens: Int64[np.ndarray, "archs length"], vocabulary: int) -> np.ndarray:
    """``[archs, length * vocabulary]`` of 0 and 1: squared distances are twice the number of tokens that differ."""
    rows: np.ndarray = np.eye(vocabulary)[tokens].reshape(len(tokens), tokens.shape[1] * vocabulary)
    return rows


def _has_encoding(space: Space[Any]) -> bool:
    return isinstance(space, NASBench101 | ChoiceSpace)


def _cell_tokens(space: NASBench201, arch: Cell) -> tuple[int, ...]:
    picked = space.to_choices(arch)
    ops = [_CELL_OPS.index(picked[f"edge_{target}_{source}"]) for source, target in _CELL_EDGES]
    # Input and output have ids of their own, 5 and 6; the input heads no column, and so is never written.
    return _columns([[to in _LINE_GRAPH[v] for v in range(to)] for to in range(1, 8)], [*ops, 6])


def _graph_tokens(space: NASBench101, arch: CellGraph) -> tuple[int, ...]:
    space.is_live(arch)  # says what is wrong with anything but a cell
    size = len(arch.matrix)
    columns = [[bool(arch.matrix[v][to]) for v in range(to)] for to in range(1, size)]
    tokens = _columns(columns, [_GRAPH_OPS.index(op) for op in (*arch.ops, "output")])
    return tokens + (START,) * sum(to + 1 for to in range(size, MAX_VERTICES))


def _choice_tokens(space: ChoiceSpace[Any], tokens: Mapping[str, int], arch: Hashable) -> tuple[int, ...]:
    return tuple(tokens[text] for text in space.to_choices(arch).values())


def _columns(columns: Sequence[Sequence[bool]], ops: Sequence[int]) -> tuple[int, ...]:
    """Of every vertex but the first: 1 or 2 for no edge or an edge from each before it, then its operation plus 2."""
    return tuple(
        itertools.chain(*([*(1 + edge for edge in edges), 2 + op] for edges, op in zip(columns, ops, strict=True)))
    )
