import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscore.predictors.neighbours import neighbours_mean


def by_hand(point, memory, values, k):
    """In plain Python, from the paper: sum of y/d over sum of 1/d of the k nearest."""
    ranked = sorted(((math.dist(point, row), i) for i, row in enumerate(memory)))
    same = [values[i] for distance, i in ranked if distance <= 1e-5]
    if same:
        return sum(same) / len(same)
    near = ranked[:k]
    return sum(values[i] / distance for distance, i in near) / sum(1 / distance for distance, _ in near)


coordinates = st.integers(-4, 4).map(lambda i: i / 4)


@given(
    st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=6),
    st.lists(st.tuples(coordinates, coordinates, st.integers(-9, 9)), min_size=1, max_size=12),
    st.integers(1, 15),
)
def test_as_by_hand(points, rows, k):
    memory, values = np.array(rows)[:, :2], np.array(rows, dtype=float)[:, 2]
    found = neighbours_mean(np.array(points), memory, values, k)
    assert found == pytest.approx(
        [by_hand(p, memory.tolist(), values.tolist(), k) for p in points], rel=1e-12, abs=1e-12
    )


def test_all_that_a_point_lies_on_counts():
    memory = np.array([[0.0], [1.0], [0.0], [0.0]])
    assert neighbours_mean(np.array([[0.0], [5e-6]]), memory, np.array([1.0, 50.0, 2.0, 6.0]), k=1).tolist() == [
        3.0,
        3.0,
    ]


def test_many_points_are_taken_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    points, memory, values = rng.random((50, 3)), rng.random((20, 3)), rng.random(20)
    whole = neighbours_mean(points, memory, values, 5)
    monkeypatch.setattr("zeroscore.predictors.neighbours._CELLS", 60)
    assert neighbours_mean(points, memory, values, 5).tolist() == whole.tolist()


def test_no_points():
    assert neighbours_mean(np.empty((0, 2)), np.ones((3, 2)), np.ones(3), 2).shape == (0,)


def test_what_is_near_is_not_the_same_unless_it_is_said_to_be():
    memory, values = np.array([[0.0], [1e-7], [3e-7]]), np.array([1.0, 2.0, 4.0])
    asked = np.array([[0.0], [1e-7], [2e-7]])
    assert neighbours_mean(asked, memory, values, k=2).tolist() == pytest.approx([7 / 3] * 3)
    assert neighbours_mean(asked, memory, values, k=2, touching=0.0).tolist() == pytest.approx([1, 2, 3])
