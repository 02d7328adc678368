"""flops against hand counts: two a multiply-add, convolutions and matrix products only, one image."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from scorers.nets import images
from zeroscore.probe import load_images
from zeroscore.scorers import score
from zeroscore.spaces import load_space


def conv_flops(channels_in: int, channels_out: int, kernel: int, side: int, groups: int = 1) -> int:
    return 2 * (channels_in // groups) * channels_out * kernel**2 * side**2


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1, bias=False), conv_flops(3, 8, 3, 4)),
        (nn.Conv2d(3, 8, 3), conv_flops(3, 8, 3, 2)),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), conv_flops(3, 8, 3, 2)),
        (nn.Conv2d(3, 6, 1, groups=3), conv_flops(3, 6, 1, 4, groups=3)),
        (nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU()), conv_flops(3, 5, 1, 4)),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 7)), 2 * 48 * 7),
        (nn.Flatten(), 0),
    ],
)
@pytest.mark.parametrize("batch", [2, 5])
def test_hand_counts(model, expected, batch):
    assert score(model, images(batch), "flops").value == expected


def cell_network_flops(convs_3x3: int, convs_1x1: int) -> int:
    """By the description of the network: 32x32 images, 10 classes."""
    total = conv_flops(3, 16, 3, 32) + 2 * 64 * 10
    for channels, side in ((16, 32), (32, 16), (64, 8)):
        total += 5 * convs_3x3 * conv_flops(channels, channels, 3, side)
        total += 5 * convs_1x1 * conv_flops(channels, channels, 1, side)
    for channels, side in ((32, 16), (64, 8)):
        total += conv_flops(channels // 2, channels, 3, side) + conv_flops(channels, channels, 3, side)
        total += conv_flops(channels // 2, channels, 1, side)
    return total


@pytest.mark.parametrize(("convs_3x3", "convs_1x1"), [(0, 0), (6, 0), (0, 6), (2, 3)])
def test_cell_networks(convs_3x3, convs_1x1):
    space = load_space("nasbench201")
    ops = ["nor_conv_3x3"] * convs_3x3 + ["nor_conv_1x1"] * convs_1x1 + ["skip_connect"] * (6 - convs_3x3 - convs_1x1)
    cell = space.parse("|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops))
    found = score(space.build(cell), load_images("noise", batch=4), "flops").value
    assert found == cell_network_flops(convs_3x3, convs_1x1)


def test_published_flops(shared):
    """Another code base counts multiply-adds, 3 more an element for a cell's ReLU and BN, and 9 for its pools."""
    accuracy = pd.read_csv(shared / "nb201_accuracy.csv.gz", usecols=["idx", "arch"])
    proxies = pd.read_csv(shared / "nb201_zc_proxies_c10.csv.gz", usecols=["idx", "flops"])
    joined = accuracy.merge(proxies, on="idx").sample(8, random_state=1)
    elements = 5 * (16 * 32**2 + 32 * 16**2 + 64 * 8**2)
    space = load_space("nasbench201")
    x = load_images("noise", batch=2)
    outside_cells = set()
    for row in joined.itertuples():
        convs, pools = row.arch.count("nor_conv"), row.arch.count("avg_pool")
        found = score(space.build(space.parse(row.arch)), x, "flops").value
        outside_cells.add(round(row.flops * 1e6 - found / 2 - elements * (3 * convs + 9 * pools)))
    assert len(outside_cells) == 1
    assert outside_cells.pop() > 0


def test_a_network_that_cannot_run_has_no_flops():
    result = score(nn.Conv2d(5, 4, 1), torch.randn(4, 3, 4, 4), "flops")
    assert str(result.status).startswith("MODEL_ERROR: RuntimeError")
