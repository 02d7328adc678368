"""convs against hand counts."""

from __future__ import annotations

import pytest
from torch import nn

from scorers.nets import images
from zeroscore.scorers import score
from zeroscore.spaces import load_space


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 4, 1)), 2),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), 0),
    ],
)
def test_hand_counts(model, expected):
    assert score(model, images(), "convs").value == expected


@pytest.mark.parametrize(
    ("text", "in_a_cell"),
    [
        ("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|", 3),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 0),
    ],
)
def test_cell_networks(text, in_a_cell):
    space = load_space("nasbench201")
    stem, residual_blocks = 1, 2 * 3
    model = space.build(space.parse(text))
    assert score(model, images(), "convs").value == stem + residual_blocks + 15 * in_a_cell
