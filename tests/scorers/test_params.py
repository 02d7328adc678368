"""params against hand counts and a published column."""

from __future__ import annotations

import pandas as pd
import pytest
from torch import nn

from scorers.nets import images
from zeroscore.scorers import score
from zeroscore.spaces import load_space


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Conv2d(3, 8, 3, bias=False), 8 * 3 * 9),
        (nn.Conv2d(3, 6, (1, 3), groups=3), 6 * 1 * 3 + 6),
        (nn.BatchNorm2d(3), 6),
        (nn.Flatten(), 0),
    ],
)
def test_hand_counts(model, expected):
    assert score(model, images(), "params").value == expected


def test_published_parameter_counts(shared):
    accuracy = pd.read_csv(shared / "nb201_accuracy.csv.gz", usecols=["idx", "arch"])
    proxies = pd.read_csv(shared / "nb201_zc_proxies_c10.csv.gz", usecols=["idx", "params"])
    joined = accuracy.merge(proxies, on="idx").sample(20, random_state=0)
    space = load_space("nasbench201")
    for row in joined.itertuples():
        found = score(space.build(space.parse(row.arch), num_classes=10), images(), "params").value
        assert found == round(row.params * 1e6), row.arch
