import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscore.predictors.labels import Scale, Trend

numbers = st.floats(-100, 100).map(lambda x: round(x, 3))


@given(st.lists(numbers, min_size=1, max_size=9))
def test_scaled_numbers(values):
    scaled = Scale.of(np.array(values))(np.array(values))
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std() == pytest.approx(1 if len(set(values)) > 1 else 0, abs=1e-6)


def test_failed_numbers_are_the_worst():
    scale = Scale.of(np.array([3.0, math.nan, 5.0, -math.inf]))
    assert (scale.mean, scale.deviation) == (4.0, 1.0)
    assert scale(np.array([math.nan, 4.0, -math.inf, 9.0])).tolist() == [-1.0, 0.0, -1.0, 5.0]
    assert Scale.of(np.array([math.nan]))(np.array([math.nan, 2.0])).tolist() == [0.0, 2.0]


@given(numbers, numbers, numbers, st.floats(0.01, 100), numbers)
def test_a_parabola_is_found(a, b, c, stretch, shift):
    x = np.array([-1.0, 0.0, 0.5, 2.0, *np.linspace(-0.9, 1.9, 6)])
    trend = Trend.of(stretch * x + shift, a * x**2 + b * x + c)
    asked = np.array([-1.0, 1.0, 1.5, 2.0])
    assert trend(stretch * asked + shift) == pytest.approx(a * asked**2 + b * asked + c, abs=1e-5)


def test_beyond_what_was_seen_is_the_nearest_seen():
    trend = Trend.of(np.array([0.0, 1.0, 2.0, -math.inf] * 3), np.array([0.0, 1.0, 4.0, 0.0] * 3))
    assert trend(np.array([-50.0, 50.0, math.nan])) == pytest.approx([0, 4, 0], abs=1e-9)


def test_few_different_scores():
    assert Trend.of(np.array([1.0, 1.0]), np.array([3.0, 5.0]))(np.array([1.0, 7.0])) == pytest.approx([4, 4])
    line = Trend.of(np.array([1.0, 1.0, 3.0]), np.array([3.0, 5.0, 10.0]))
    assert line(np.array([1.0, 2.0, 3.0])) == pytest.approx([4, 7, 10])
    assert Trend.of(np.array([math.nan] * 2), np.array([3.0, 5.0]))(np.array([math.nan, 7.0])) == pytest.approx([4, 4])


def test_few_labels_make_a_line():
    """A parabola through (0, 70), (.001, 90), (1, 80) is at 5,000 halfway."""
    line = Trend.of(np.array([0, 0.001, 1]), np.array([70.0, 90.0, 80.0]))
    assert line(np.array([0.0, 0.5, 1.0])) == pytest.approx([80, 80, 80], abs=0.1)
    x = np.arange(9.0)
    assert Trend.of(x, x**2)(np.array([4.0])) == pytest.approx([204 / 9])


def test_the_worst_counts_for_a_failed_score():
    trend = Trend.of(np.array([2.0, 4.0, 6.0, 8.0]), np.array([1.0, 5.0, 2.0, 7.0]))
    assert trend(np.array([-math.inf])).tolist() == trend(np.array([2.0])).tolist()
