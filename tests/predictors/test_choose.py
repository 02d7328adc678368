import numpy as np
import pandas as pd
import pytest

import zeroscore as zs
from zeroscore.predictors import choose

SPACE = zs.load_space("nats_size")
RNG = np.random.default_rng(0)
ARCHS = list(dict.fromkeys(SPACE.sample(RNG) for _ in range(60)))
SCORES = [float(sum(arch.channels)) for arch in ARCHS]


def total(arch):
    return sum(arch.channels)


def test_the_best_scored_come_best_first():
    chosen = choose(SPACE, ARCHS, 7, SCORES, rng=np.random.default_rng(1))
    assert [total(arch) for arch in chosen] == sorted(SCORES, reverse=True)[:7]


def test_failed_scores_come_last():
    scores = [np.nan, -np.inf, *SCORES[2:]]
    last = choose(SPACE, ARCHS, len(ARCHS), scores, rng=np.random.default_rng(1))[-2:]
    assert set(last) == set(ARCHS[:2])


def test_ranks_are_spread():
    scores = np.random.default_rng(2).permutation(len(ARCHS)).astype(float)
    chosen = choose(SPACE, ARCHS, 5, scores, how="ranks", rng=np.random.default_rng(1))
    places = [int(scores[ARCHS.index(arch)]) for arch in chosen]
    share = len(ARCHS) / 5
    assert [int(place // share) for place in places] == [0, 1, 2, 3, 4]


def test_each_is_as_far_as_can_be_from_those_before():
    chosen = choose(SPACE, ARCHS, 12, how="diverse", rng=np.random.default_rng(3))

    def gap(arch, taken):
        return min(sum(a != b for a, b in zip(arch.channels, other.channels, strict=True)) for other in taken)

    for i in range(1, 12):
        taken = chosen[:i]
        assert gap(chosen[i], taken) == max(gap(arch, taken) for arch in ARCHS if arch not in taken)


@pytest.mark.parametrize("how", ["score", "ranks", "diverse", "random"])
def test_distinct_and_the_seed_s_own(how):
    first, second, other = (
        choose(SPACE, ARCHS, 20, [1.0] * len(ARCHS), how=how, rng=np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    assert first == second
    assert first != other  # among equal scores the generator decides
    assert len(set(first)) == 20
    assert set(choose(SPACE, ARCHS, len(ARCHS), SCORES, how=how, rng=np.random.default_rng(0))) == set(ARCHS)


def test_random_is_uniform():
    rng = np.random.default_rng(6)
    counts = dict.fromkeys(ARCHS[:4], 0)
    for _ in range(4000):
        for arch in choose(SPACE, ARCHS[:4], 1, how="random", rng=rng):
            counts[arch] += 1
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_a_series_is_asked_by_place():
    archs, scores = ARCHS[:20], np.arange(20.0)
    for index in (range(19, -1, -1), range(100, 120)):
        series = pd.Series(archs, index=index, dtype=object)
        for how in ("score", "ranks", "diverse", "random"):
            found, expected = (
                choose(SPACE, given, 5, scores, how=how, rng=np.random.default_rng(0)) for given in (series, archs)
            )
            assert found == expected


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (0, {}, "n=0 is not a whole number of at least 1"),
        (True, {}, "n=True is not a whole number of at least 1"),
        (61, {"how": "random"}, r"n=61 is more than the \d+ architecture\(s\) to choose from"),
        (2, {"how": "best"}, "unknown way to choose 'best'; known: score, ranks, diverse, random"),
        (2, {}, "how='score' chooses by score: give scores, or how='diverse' or 'random'"),
        (2, {"scores": [1.0]}, r"scores have the shape \(1,\); give one number for each of the \d+ architecture"),
    ],
)
def test_bad_input(n, options, message):
    with pytest.raises(zs.UsageError, match=message):
        choose(SPACE, ARCHS, n, rng=np.random.default_rng(0), **options)
