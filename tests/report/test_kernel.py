"""The overlap kernel on a page is that of the scored network on the scored images, or there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import zeroscore as zs
from zeroscore.report import write_report
from zeroscore.report.batch import find_batch

from .conftest import SPACE, Page, table_of

# Nodes 1 and 2 are not joined: exchanging them changes the text alone, and one network is scored for both.
TWIN = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|avg_pool_3x3~1|skip_connect~2|"
TWIN_MIRRORED = "|nor_conv_1x1~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|skip_connect~1|avg_pool_3x3~2|"
PLAIN = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|"
ARCHS = [TWIN, TWIN_MIRRORED, PLAIN]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """40 pictures of pure noise, whose brightness tells which one each is, and its label with it."""
    pixels = np.random.default_rng(0).integers(0, 40, size=(40, 32, 32, 3)) + 5 * np.arange(40)[:, None, None, None]
    classes = np.array(["cat", "ant", "bee", "dog"])
    np.savez(tmp_path / "p.npz", x_train=pixels.astype(np.uint8), y_train=np.arange(40) // 10, classes=classes)
    return tmp_path / "p.npz"


def scored(images: torch.Tensor, seed: int, **settings: Any) -> zs.Ranking:
    return zs.score_many(SPACE, ARCHS, images, precision="float32", device="cpu", seed=seed, **settings)


@pytest.mark.parametrize("ties", [False, True])
def test_the_kernel_is_the_one_that_was_scored(tmp_path: Path, ties: bool) -> None:
    """log|det K| of what is drawn is the score that was kept, also where a twin or tied weights gave it."""
    ranking = scored(zs.load_images("noise", batch=16, seed=3), 3, tie_weights=ties)
    table = table_of(ARCHS, [80.0, 81.0, 82.0])
    for arch, score in zip(ARCHS, ranking.frame["naswot"], strict=True):
        done = write_report(ranking, table, tmp_path / "page.html", arch=arch)
        assert done.kernel == ""
        page = Page(tmp_path / "page.html")
        percent = np.array(page.data["kernel"]["percent"])
        assert (np.diag(percent) == 100).all()
        units = int(page.words.split("In how many of its ")[1].split(" units")[0].replace(",", ""))
        # Percentages have two decimals: not the very integers, but near enough for the determinant.
        assert np.linalg.slogdet(percent * units / 100)[1] == pytest.approx(score, abs=0.01)
        assert "16 of the 16 images of the scores, seed 3" in page.words


def test_images_that_are_not_those_of_the_scores_give_none(pictures: Path, tmp_path: Path) -> None:
    ranking = scored(zs.load_images(pictures, batch=12, seed=1), 1)
    table = table_of(ARCHS, [80.0, 81.0, 82.0])
    out = tmp_path / "page.html"
    said = "the images of the scores are not noise; name them (--images)"
    assert write_report(ranking, table, out).kernel == said
    assert f"Not drawn: {said}." in Page(out).words
    assert Page(out).data["kernel"] is None
    shuffled = zs.load_images(pictures, batch=12, seed=2)
    assert (
        "the images of the scores are not the images named" in write_report(ranking, table, out, images=shuffled).kernel
    )
    assert write_report(ranking, table, out, images=pictures).kernel == ""
    unsaid = zs.Ranking(ranking.frame, ranking.scorers, {})
    assert "does not say on which images" in write_report(unsaid, table, out).kernel
    assert write_report(unsaid, table, out, images=pictures, batch=12, seed=1).kernel == ""
    assert "12 of the 12 images named, seed 1" in Page(out).words


def test_rows_are_sorted_by_label(pictures: Path, tmp_path: Path) -> None:
    images = zs.load_images(pictures, batch=12, seed=1)
    found = find_batch(scored(images, 1).provenance, pictures, None, 99, 99)
    assert found.sure
    assert torch.equal(found.images, images)  # type: ignore[arg-type]
    # Brightness grows with the number of a picture by 5 and is noisy by far less: its order is the number's.
    brightness = images.mean(dim=(1, 2, 3)).numpy()
    everything = zs.load_images(pictures, batch=40, seed=0).mean(dim=(1, 2, 3)).sort().values.numpy()
    number = np.abs(everything[None] - brightness[:, None]).argmin(1)
    assert list(found.labels or ()) == [("cat", "ant", "bee", "dog")[n // 10] for n in number]

    out = tmp_path / "page.html"
    write_report(scored(images, 1), table_of(ARCHS, [80.0, 81.0, 82.0]), out, images=pictures, arch=PLAIN)
    kernel = Page(out).data["kernel"]
    assert kernel["labels"] == sorted(found.labels or ())
    order = np.argsort(found.labels or (), kind="stable")
    whole = zs.overlap_kernel(SPACE.build(SPACE.parse(PLAIN), seed=1), images, seed=1).numpy()
    assert np.array(kernel["percent"]) == pytest.approx(100 * whole[np.ix_(order, order)] / whole[0, 0], abs=0.0051)


def test_labels_come_one_an_image() -> None:
    with pytest.raises(zs.UsageError, match="3 labels of 4 images; give one of each"):
        find_batch({}, torch.zeros(4, 3, 8, 8), ["a", "b", "c"], 4, 0)
    assert find_batch({}, torch.zeros(3, 3, 8, 8), [0, 1, 2], 4, 0).labels == ("0", "1", "2")


def test_numbered_labels_are_sorted_as_numbers(tmp_path: Path) -> None:
    images = zs.load_images("noise", batch=12, seed=1)
    labelled = tmp_path / "images.npz"
    np.savez(labelled, x=images.numpy(), y=np.arange(12))
    batch = zs.load_images(labelled, batch=12, seed=1)
    out = tmp_path / "page.html"
    write_report(scored(batch, 1), table_of(ARCHS, [80.0, 81.0, 82.0]), out, images=labelled, arch=PLAIN)
    assert Page(out).data["kernel"]["labels"] == [str(label) for label in range(12)]


def test_a_network_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    ranking = scored(zs.load_images("noise", batch=4, seed=0), 0)
    frame = pd.DataFrame(ranking.frame)
    done = write_report(
        zs.Ranking(frame, ranking.scorers, {}),
        table_of(ARCHS, [80.0, 81.0, 82.0]),
        tmp_path / "page.html",
        images=torch.randn(4, 7, 8, 8),
    )
    assert "has none (" in done.kernel


def test_of_a_large_batch_some_rows_are_shown(tmp_path: Path) -> None:
    from zeroscore.report.write import MOST_IMAGES

    ranking = scored(zs.load_images("noise", batch=4, seed=0), 0)
    unsaid = zs.Ranking(ranking.frame, ranking.scorers, {})
    images = torch.randn(MOST_IMAGES + 44, 3, 8, 8)
    write_report(unsaid, table_of(ARCHS, [80.0, 81.0, 82.0]), tmp_path / "page.html", images=images)
    page = Page(tmp_path / "page.html")
    assert np.array(page.data["kernel"]["percent"]).shape == (MOST_IMAGES, MOST_IMAGES)
    assert f"{MOST_IMAGES} of the {MOST_IMAGES + 44} images named" in page.words
