"""Every source of images, the arithmetic of their normalisation, and every way to get it wrong."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zeroscore.probe import images_hash, load_images
from zeroscore.types import UsageError, ZeroscoreError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


def normalised(pixels: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] scaled to 0..1 and normalised a channel over all of it, as [N, C, H, W]."""
    scaled = pixels.astype(np.float64) / 255
    mean, std = scaled.mean((0, 1, 2)), scaled.std((0, 1, 2))
    return ((scaled - mean) / std).transpose(0, 3, 1, 2)


def is_draw_from(images: Tensor, pool: np.ndarray) -> bool:
    """Each image is another one of the pool."""
    distances = np.abs(images.numpy()[:, None] - pool[None]).max((2, 3, 4))
    return bool((distances.min(1) < 2e-2).all()) and len(set(distances.argmin(1).tolist())) == len(images)


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "images.npz"
    np.savez_compressed(path, **arrays)
    return path


# ---- noise -----------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 9), st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 2**40))
def test_noise_has_the_shape_asked_for_and_is_the_seeds(batch, shape, seed):
    state = torch.get_rng_state()
    images = load_images("noise", batch, shape, seed)
    assert images.shape == (batch, *shape)
    assert images.dtype == torch.float32
    assert torch.equal(images, load_images("noise", batch, shape, seed))
    assert not torch.equal(images, load_images("noise", batch, shape, seed + 1))
    assert torch.equal(torch.get_rng_state(), state)


def test_noise_is_standard_normal():
    images = load_images("noise", batch=64)
    assert abs(float(images.mean())) < 0.01
    assert abs(float(images.std()) - 1) < 0.01


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x_train", "images", "x", "data", "arr_0"])
@pytest.mark.parametrize("channels_first", [False, True])
def test_uint8_files_are_normalised_over_the_whole_file(tmp_path, name, channels_first):
    array = PIXELS.transpose(0, 3, 1, 2) if channels_first else PIXELS
    images = load_images(saved(tmp_path, other=np.zeros(3), **{name: array}), batch=7, seed=2)
    assert images.shape == (7, 3, 6, 5)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert is_draw_from(images, normalised(PIXELS))


def test_normalisation_against_numpy(tmp_path):
    images = load_images(saved(tmp_path, x=PIXELS), batch=20, seed=0).numpy()
    expected = normalised(PIXELS)
    order = [int(np.abs(expected - image).sum((1, 2, 3)).argmin()) for image in images]
    assert sorted(order) == list(range(20))
    assert order != list(range(20))  # shuffled
    # The deviation over N and over N - 1 values differ by 1 in 1,200 here, in 4 million on real data sets.
    np.testing.assert_allclose(images, expected[order], rtol=1e-3, atol=1e-3)


def test_grey_and_four_channel_files_are_read_as_documented(tmp_path):
    grey = load_images(saved(tmp_path, x=PIXELS[..., :1]), batch=4)
    assert grey.shape == (4, 1, 6, 5)
    four = load_images(saved(tmp_path, x=np.concatenate([PIXELS, PIXELS[..., :1]], -1)), batch=4)
    assert four.shape == (4, 4, 6, 5)


def test_a_constant_channel_stays_finite(tmp_path):
    pixels = PIXELS.copy()
    pixels[..., 1] = 9
    images = load_images(saved(tmp_path, x=pixels), batch=8)
    assert bool(images.isfinite().all())
    assert bool((images[:, 1].abs() < 1e-3).all())


def test_float_files_and_tensors_are_taken_as_they_are(tmp_path):
    array = RNG.normal(size=(9, 3, 4, 4))
    from_file = load_images(saved(tmp_path, x=array), batch=9, seed=1)
    from_tensor = load_images(torch.from_numpy(array), batch=9, seed=1)
    assert torch.equal(from_file, from_tensor)
    assert from_file.dtype == torch.float32
    sums = from_file.double().sum((1, 2, 3)).sort().values
    np.testing.assert_allclose(sums, np.sort(array.sum((1, 2, 3))), rtol=1e-5)


def test_a_seed_draws_the_same_images_and_another_seed_others(tmp_path):
    path = saved(tmp_path, x=PIXELS)
    first = load_images(path, batch=8, seed=3)
    assert torch.equal(first, load_images(str(path), batch=8, seed=3))
    assert not torch.equal(first, load_images(path, batch=8, seed=4))
    assert len({images_hash(image[None]) for image in first}) == 8  # without replacement


def test_real_images(shared):
    path = shared / "cifar10_sample.npz"
    images = load_images(path, batch=128, seed=0)
    assert images.shape == (128, 3, 32, 32)
    with np.load(path) as file:
        assert is_draw_from(images[:4], normalised(file["x_train"]))


def test_folders_of_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "cats").mkdir()
    for index, pixels in enumerate(PIXELS):
        image.fromarray(pixels).save(tmp_path / ("cats" if index % 2 else "") / f"{index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    assert is_draw_from(load_images(tmp_path, batch=6, shape=(3, 6, 5)), normalised(PIXELS))
    assert load_images(tmp_path, batch=6, shape=(1, 6, 5)).shape == (6, 1, 6, 5)
    assert load_images(str(tmp_path), batch=6, shape=(3, 16, 8)).shape == (6, 3, 16, 8)


# ---- bad input -------------------------------------------------------------------------------------------------------


def refused(kind: type[ZeroscoreError], message: str, *args: object, **options: object) -> None:
    with pytest.raises(kind, match=message) as refusal:
        load_images(*args, **options)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)
    assert isinstance(refusal.value, UsageError) == (kind is UsageError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 1}, "batch is 1; a score compares images, so ask for at least 2"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": -3}, "batch is -3"),
        ({"seed": -1}, "seed is -1; give a whole number of at least 0"),
        ({"shape": (3, 32)}, r"shape is \(3, 32\); expected \(channels, height, width\), each at least 1"),
        ({"shape": (3, 0, 32)}, r"shape is \(3, 0, 32\)"),
        ({"shape": (3, 32, -1)}, r"shape is \(3, 32, -1\)"),
    ],
)
def test_options_that_make_no_sense(options, message):
    refused(UsageError, message, "noise", **options)


@pytest.mark.parametrize("source", [None, 3, PIXELS, [1, 2]])
def test_sources_of_another_type(source):
    refused(UsageError, rf"images come from 'noise', .* not from {type(source).__name__}", source)


def test_sources_that_are_not_there(tmp_path):
    refused(UsageError, r"no images at '.*missing.npz'; give 'noise', a folder", tmp_path / "missing.npz")
    refused(UsageError, "no images at 'nosie'", "nosie")
    (tmp_path / "images.csv").write_text("1,2")
    refused(UsageError, "is not an .npz; give 'noise'", tmp_path / "images.csv")


def damaged(folder: Path, kind: str) -> Path:
    path = saved(folder, x=PIXELS)
    content = path.read_bytes()
    if kind == "a bit flipped":
        content = content[:200] + bytes([content[200] ^ 255]) + content[201:]
    path.write_bytes(
        {
            "empty": b"",
            "text": b"not an archive",
            "cut short": content[: len(content) // 2],
            "last byte lost": content[:-1],
            "a bit flipped": content,
        }[kind]
    )
    return path


@pytest.mark.parametrize("kind", ["empty", "text", "cut short", "last byte lost", "a bit flipped"])
def test_damaged_files(tmp_path, kind):
    refused(ZeroscoreError, r"cannot read images from '.*images.npz'", damaged(tmp_path, kind))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_file_with_any_byte_changed_is_read_or_refused(tmp_path_factory, position, byte, cut):
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "images.npz"
    np.savez_compressed(path, x=PIXELS[:4])
    content = bytearray(path.read_bytes())
    content[position % len(content)] = byte
    path.write_bytes(bytes(content[: position % len(content)] if cut else content))
    with contextlib.suppress(ZeroscoreError):
        assert len(load_images(path, batch=2)) == 2


def test_a_bare_array_called_npz(tmp_path):
    np.save(tmp_path / "images.npy", PIXELS)
    (tmp_path / "images.npy").rename(tmp_path / "images.npz")
    refused(ZeroscoreError, "damaged, or no .npz; make it with numpy.savez", tmp_path / "images.npz")


def test_an_archive_that_holds_no_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.npz", "w") as archive:
        archive.writestr("x", "text")
    refused(UsageError, r"'x' of '.*' has shape \[\]; expected four dimensions", tmp_path / "images.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": PIXELS}, "has no array called x_train, images, x, data, arr_0; it has pictures"),
        ({"x": PIXELS[0]}, r"array 'x' of '.*' has shape \[6, 5, 3\]; expected four dimensions"),
        ({"x": PIXELS.astype(np.int64)}, "array 'x' of '.*' is int64; expected uint8 or floating point"),
        ({"x": PIXELS.astype(bool)}, "array 'x' of '.*' is bool"),
        ({"x": PIXELS[:3]}, "holds 3 images, fewer than batch=8"),
        ({"x": PIXELS[:0]}, "holds 0 images, fewer than batch=8"),
        ({"x": np.full((9, 3, 4, 4), np.nan)}, "8 of 8 images hold NaN or Inf"),
        ({"x": np.full((9, 3, 4, 4), 1e300)}, "8 of 8 images hold NaN or Inf"),
    ],
)
def test_files_with_the_wrong_content(tmp_path, arrays, message):
    refused(UsageError, message, saved(tmp_path, **arrays), batch=8)


def test_pickled_objects_are_not_read(tmp_path):
    path = saved(tmp_path, x=np.array([{"a": 1}] * 4, dtype=object))
    refused(ZeroscoreError, "cannot read images from .*allow_pickle", path, batch=2)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(4, 3, 4, 4, dtype=torch.uint8), "images are torch.uint8; scale them"),
        (torch.zeros(4, 3, 4, 4), "the tensor holds 4 images, fewer than batch=128"),
        (torch.full((200, 3, 4, 4), float("inf")), "200 of 200 images hold NaN or Inf"),
        (torch.zeros(1, 3, 4, 4), "a batch of 1"),
    ],
)
def test_tensors_that_cannot_be_scored(tensor, message):
    refused(UsageError, message, tensor)


def test_folders_that_hold_nothing_to_read(tmp_path):
    image = pytest.importorskip("PIL.Image")
    refused(UsageError, "holds no pictures", tmp_path)
    refused(UsageError, "pictures have 1 or 3 channels, not 4", tmp_path, shape=(4, 8, 8))
    image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    refused(UsageError, "holds 1 images, fewer than batch=2", tmp_path, batch=2, shape=(3, 8, 8))
    for content in (b"", b"text", (tmp_path / "a.png").read_bytes()[:60]):
        (tmp_path / "b.png").write_bytes(content)
        refused(ZeroscoreError, r"cannot read picture '.*b.png'", tmp_path, batch=2, shape=(3, 8, 8))


# ---- hash ------------------------------------------------------------------------------------------------------------


def test_the_hash_tells_batches_apart():
    images = load_images("noise", batch=4, shape=(3, 4, 4))
    others = [images + 1e-6, images.double(), images.flip(0), images.reshape(4, 3, 2, 8), images[:3]]
    hashes = [images_hash(other) for other in (images, *others)]
    assert len(set(hashes)) == len(hashes)
    assert all(len(digits) == 16 and int(digits, 16) >= 0 for digits in hashes)
    assert images_hash(images.clone(memory_format=torch.channels_last)) == hashes[0]
    assert images_hash(images.to(torch.bfloat16)) != hashes[0]
