import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zeroscore as zs
from zeroscore.predictors import encoding_of
from zeroscore.predictors.encoding import one_hot

NB201 = zs.load_space("nasbench201")
NB101 = zs.load_space("nasbench101")
SIZE = zs.load_space("nats_size")

SHORT = {"s": "skip_connect", "n": "none", "3": "nor_conv_3x3", "1": "nor_conv_1x1", "p": "avg_pool_3x3"}


def cell(letters):
    """The cell with these operations on the edges 0-1, 0-2, 0-3, 1-2, 1-3, 2-3."""
    a, b, c, d, e, f = (SHORT[letter] for letter in letters)
    return NB201.parse(f"|{a}~0|+|{b}~0|{d}~1|+|{c}~0|{e}~1|{f}~2|")


def test_a_cell_by_hand():
    # Line graph: input to the edges from node 0; 0-1 to 1-2 and 1-3; 0-2 and 1-2 to 2-3; what enters node 3 to output.
    by_hand = [
        *(2, 2),  # 0-1: from the input; skip_connect is 0
        *(2, 1, 3),  # 0-2: none is 1
        *(2, 1, 1, 4),  # 0-3: 3x3 is 2
        *(1, 2, 1, 1, 5),  # 1-2: from 0-1; 1x1 is 3
        *(1, 2, 1, 1, 1, 6),  # 1-3: from 0-1; pool is 4
        *(1, 1, 2, 1, 2, 1, 4),  # 2-3: from 0-2 and 1-2
        *(1, 1, 1, 2, 1, 2, 2, 8),  # output: from 0-3, 1-3, 2-3
    ]
    assert encoding_of(NB201)([cell("sn31p3")]).tolist() == [by_hand]


def test_cells_are_told_apart():
    encoding = encoding_of(NB201)
    tokens = encoding(list(NB201))
    assert (encoding.length, encoding.vocabulary) == (35, 9)
    assert tokens.shape == (15_625, 35)
    assert len(np.unique(tokens, axis=0)) == 15_625
    assert (tokens.min(), tokens.max()) == (1, 8)
    # Six places differ from cell to cell, and no other does.
    assert [column for column in range(35) if len(np.unique(tokens[:, column])) > 1] == [1, 4, 8, 13, 19, 26]


@given(st.text(alphabet="sn31p", min_size=6, max_size=6), st.text(alphabet="sn31p", min_size=6, max_size=6))
def test_as_many_tokens_differ_as_operations(first, second):
    tokens = encoding_of(NB201)([cell(first), cell(second)])
    differ = sum(a != b for a, b in zip(first, second, strict=True))
    assert int((tokens[0] != tokens[1]).sum()) == differ
    points = one_hot(tokens, 9)
    assert points.sum() == 70
    assert ((points[0] - points[1]) ** 2).sum() == 2 * differ


def test_a_graph_by_hand():
    arch = NB101.from_matrix([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], ["conv3x3", "maxpool3x3"])
    by_hand = [2, 4, 2, 1, 5, 1, 2, 2, 6] + [0] * 18
    assert encoding_of(NB101)([arch]).tolist() == [by_hand]


@given(st.integers(0, 2**32))
def test_graphs_come_back(seed):
    arch = NB101.sample(np.random.default_rng(seed))
    encoding = encoding_of(NB101)
    tokens = encoding.write(arch)
    assert (encoding.length, encoding.vocabulary, len(tokens)) == (27, 7, 27)
    size = len(arch.matrix)
    ends = list(itertools.accumulate(range(2, 8)))
    columns = [tokens[end - width : end] for end, width in zip(ends, range(2, 8), strict=True)]
    assert all(set(column) == {0} for column in columns[size - 1 :])
    matrix = [[0] * size for _ in range(size)]
    for to, column in enumerate(columns[: size - 1], start=1):
        for v in range(to):
            matrix[v][to] = column[v] - 1
    ops = [{3: "conv1x1", 4: "conv3x3", 5: "maxpool3x3"}[column[-1]] for column in columns[: size - 2]]
    assert columns[size - 2][-1] == 6
    assert NB101.from_matrix(matrix, ops) == arch


def test_independent_choices_are_one_token_a_place():
    encoding = encoding_of(SIZE)
    assert (encoding.length, encoding.vocabulary) == (5, 9)
    assert encoding([SIZE.parse("8:16:24:32:64")]).tolist() == [[1, 2, 3, 4, 8]]
    macro = zs.load_space("nas_bench_macro")
    assert len(np.unique(encoding_of(macro)(list(macro)), axis=0)) == len(macro)


def test_no_architectures():
    assert encoding_of(NB201)([]).shape == (0, 35)
    assert one_hot(encoding_of(NB201)([]), 9).shape == (0, 315)


def test_a_space_without_an_encoding():
    with pytest.raises(
        zs.UsageError, match=r"no encoding of space 'darts' as tokens; known: .*nasbench101.*nats_size"
    ) as told:
        encoding_of(zs.load_space("darts"))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("space", [NB201, NB101, SIZE])
def test_strangers(space):
    for stranger in ("text", None, object()):
        with pytest.raises(zs.UsageError):
            encoding_of(space)([stranger])
