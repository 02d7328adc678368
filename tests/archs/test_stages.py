"""Stages: text, and the published JSON's form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refusals import complaint
from zeroscore.archs.stages import Stages
from zeroscore.types import UsageError

RESNET = "resnet-12x24-12x24-12x40"
RESNEXT = "resnext-16x64r4g2-1x128r4g1-4x16r4g2"

number = st.integers(1, 999_999)


def columns(stages: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[number] * stages)


@st.composite
def architectures(draw: st.DrawFn) -> Stages:
    stages = draw(st.integers(1, 5))
    block = draw(st.sampled_from(("resnet", "resnext", "vanilla")))
    bottleneck = [draw(columns(stages)) if block == "resnext" else () for _ in range(2)]
    strides = draw(st.just(()) | columns(stages) | st.just((1, *(2,) * (stages - 1))))
    stem = draw(st.just((16, 1)) | st.tuples(number, number))
    return Stages(block, draw(columns(stages)), draw(columns(stages)), *bottleneck, strides, stem)


# ---- text ------------------------------------------------------------------------------------------------------------


@given(architectures())
def test_text_and_architecture_are_inverse(arch):
    text = str(arch)
    assert not set(text) & set(" \n\t,;|'\"")
    assert Stages.parse(text) == Stages.parse(f"  {text}\n") == arch
    assert hash(Stages.parse(text)) == hash(arch)
    assert str(Stages.parse(text)) == text


@given(architectures(), architectures())
def test_texts_differ_where_architectures_do(one, other):
    assert (str(one) == str(other)) == (one == other)


TEXTS = {
    RESNET: Stages("resnet", (12, 12, 12), (24, 24, 40), (), (), (1, 2, 2), (16, 1)),
    RESNEXT: Stages("resnext", (16, 1, 4), (64, 128, 16), (4, 4, 4), (2, 1, 2)),
    "vanilla-1x16": Stages("vanilla", (1,), (16,)),
    "resnet-64s2-3x64s2-4x128-6x256s1": Stages("resnet", (3, 4, 6), (64, 128, 256), (), (), (2, 2, 1), (64, 2)),
    "resnext-16s2-3x64r1g8": Stages("resnext", (3,), (64,), (1,), (8,), (), (16, 2)),
}


@pytest.mark.parametrize("text", TEXTS)
def test_text(text):
    assert Stages.parse(text) == TEXTS[text]
    assert str(TEXTS[text]) == text


MALFORMED = {
    "": "unknown block ''; known: resnet, resnext, vanilla",
    "12x24-12x24": "unknown block '12x24'; known: resnet, resnext, vanilla",
    "ResNet-12x24": "unknown block 'ResNet'; known: resnet, resnext, vanilla",
    "resnet": "no stages; expected text such as 'resnet-12x24-12x24-12x40'",
    "resnet-64s2": "no stages; expected text such as 'resnet-12x24-12x24-12x40'",
    "resnet-": "stage 1 is '', expected depthxwidth",
    "resnet-12x24-": "stage 2 is '', expected depthxwidth",
    "resnet-12x24-12": "stage 2 is '12', expected depthxwidth",
    "resnet-12x24-12x0": "stage 2 is '12x0', expected depthxwidth",
    "resnet-0x24": "stage 1 is '0x24', expected depthxwidth",
    "resnet-012x24": "stage 1 is '012x24', expected depthxwidth",
    "resnet-12x24 -1x2": "stage 1 is '12x24 ', expected depthxwidth",
    "resnet-12x٤٠": "stage 1 is '12x٤٠', expected depthxwidth",
    "resnet-12x" + "9" * 10_000: f"stage 1 is '12x{'9' * 114}...', expected depthxwidth",
    "resnet-12x24-64s2": "stage 2 is '64s2', expected depthxwidth",
    "resnet-12x24r4g2": "stage 1 is '12x24r4g2', expected depthxwidth",
    "resnext-12x24": "stage 1 is '12x24', expected depthxwidthr<ratio>g<groups>",
    "resnext-12x24r4": "stage 1 is '12x24r4', expected depthxwidthr<ratio>g<groups>",
    "resnet-16s1-12x24": "write it 'resnet-12x24'",
    "resnet-12x24s1-1x2s2": "write it 'resnet-12x24-1x2'",
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.items(), ids=range(len(MALFORMED)))
def test_malformed_text_is_told_what_is_wrong_where(text, message):
    assert complaint(Stages.parse, text, "stages").endswith(f": {message}")


@pytest.mark.parametrize("text", [None, 12, b"resnet-12x24", ["resnet"]])
def test_what_is_no_text_is_told_so(text):
    with pytest.raises(UsageError, match=f"must be a string such as '{RESNET}', not {type(text).__name__}"):
        Stages.parse(text)


@given(st.text(alphabet="resnt-x0123456789sg", max_size=24).map("resn".__add__))
def test_any_text_is_an_architecture_or_refused(text):
    try:
        arch = Stages.parse(text)
    except UsageError:
        return
    assert str(arch) == text


INVALID: list[tuple[tuple[Any, ...], str]] = [
    (("basic", (1,), (2,)), "unknown block 'basic'; known: resnet, resnext, vanilla"),
    (("resnet", (), ()), r"depths of a resnet are \(\), expected 1 number\(s\)"),
    (("resnet", (1, 2), (2,)), r"widths of a resnet are \(2,\), expected 2 number\(s\)"),
    (("resnet", (1, 0), (2, 2)), r"depths of a resnet are \(1, 0\), expected a tuple of positive integers"),
    (("resnet", (1,), (2.0,)), r"widths of a resnet are \(2.0,\), expected a tuple of positive integers"),
    (("resnet", (True,), (2,)), r"depths of a resnet are \(True,\), expected a tuple of positive integers"),
    (("resnet", [1], (2,)), r"depths of a resnet are \[1\], expected a tuple of positive integers"),
    (("resnet", 1, (2,)), "depths of a resnet are 1, expected a tuple of positive integers"),
    (("resnet", (1,), (2,), (1,), (1,)), r"ratios of a resnet are \(1,\), expected 0 number\(s\)"),
    (("resnext", (1,), (2,)), r"ratios of a resnext are \(\), expected 1 number\(s\)"),
    (("resnext", (1,), (2,), (1,), (1, 1)), r"groups of a resnext are \(1, 1\), expected 1 number\(s\)"),
    (("resnet", (1,), (2,), (), (), (1, 2)), r"strides of a resnet are \(1, 2\), expected 1 number\(s\)"),
    (("resnet", (1,), (2,), (), (), (1,), (16,)), r"stem of a resnet are \(16,\), expected 2 number\(s\)"),
]


@pytest.mark.parametrize(("fields", "message"), INVALID, ids=range(len(INVALID)))
def test_no_architecture_is_inconsistent(fields, message):
    with pytest.raises(UsageError, match=f"^{message}$"):
        Stages(*fields)


# ---- the published JSON ----------------------------------------------------------------------------------------------

# "net" of three published entries, and of one for larger images.
BASIC = {"block_type": "res_basic_block", "ds": [1, 12, 12, 12], "ss": [1, 1, 2, 2], "ws": [16, 24, 24, 40]}
PLAIN = {"block_type": "double_plain_block", "ds": [1, 12, 12, 12], "ss": [1, 1, 2, 2], "ws": [16, 24, 32, 40]}
BOTTLENECK = {
    "block_type": "res_bottleneck_block",
    "bot_muls": [0.0, 0.25, 0.25, 0.25],
    "ds": [1, 16, 1, 4],
    "num_gs": [1, 2, 1, 2],
    "ss": [1, 1, 2, 2],
    "ws": [16, 64, 128, 16],
}
ENTRIES: list[tuple[dict[str, Any], str]] = [
    (BASIC, RESNET),
    ({**BASIC, "bot_muls": [], "num_gs": []}, RESNET),
    ({**BASIC, "bot_muls": None, "num_gs": None, "another": 1}, RESNET),
    (PLAIN, "vanilla-12x24-12x32-12x40"),
    (BOTTLENECK, RESNEXT),
    ({**BOTTLENECK, "bot_muls": [0.0, 1, 0.5, 1 / 3]}, "resnext-16x64r1g2-1x128r2g1-4x16r3g2"),
    ({**BOTTLENECK, "num_gs": []}, "resnext-16x64r4g1-1x128r4g1-4x16r4g1"),
    (
        {"block_type": "res_basic_block", "ds": [1, 3, 4, 6, 3], "ss": [2, 1, 2, 2, 2], "ws": [64, 64, 128, 256, 512]},
        "resnet-64s2-3x64-4x128-6x256-3x512",
    ),
]


@pytest.mark.parametrize(("net", "text"), ENTRIES, ids=range(len(ENTRIES)))
def test_published_networks(net, text):
    before = str(net)
    assert str(Stages.from_nds(net)) == text
    assert Stages.from_nds(net) == Stages.parse(text)
    assert str(net) == before


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "unknown block_type 'None'; known: res_basic..., res_bottleneck..., double_plain..."),
    (
        {**BASIC, "block_type": "dense_block"},
        "unknown block_type 'dense_block'; known: res_basic..., res_bottleneck..., double_plain...",
    ),
    ({**BASIC, "ds": None}, "ds is 'None', expected a list of integers"),
    ({**BASIC, "ws": [16, 24, 24.5, 40]}, "ws is '[16, 24, 24.5, 40]', expected a list of integers"),
    ({**BASIC, "ws": [16, 24, "24", 40]}, "ws is \"[16, 24, '24', 40]\", expected a list of integers"),
    ({**BASIC, "ws": [16, 24, 24]}, "ds, ws and ss have 4, 3 and 4 numbers, expected as many, at least 2"),
    (
        {**BASIC, "ds": [1], "ws": [16], "ss": [1]},
        "ds, ws and ss have 1, 1 and 1 numbers, expected as many, at least 2",
    ),
    ({**BASIC, "ds": [2, 12, 12, 12]}, "ds begins with 2, expected a stem of depth 1"),
    ({**BASIC, "num_gs": [1, 1, 1, 1]}, "bot_muls and num_gs belong to bottlenecks, not to 'res_basic_block'"),
    (
        {**BOTTLENECK, "bot_muls": [0.0, 0.25, 0.3, 0.25]},
        "bot_muls is '[0.0, 0.25, 0.3, 0.25]', expected a list of 1, 1/2, 1/3, ... for stages",
    ),
    ({**BOTTLENECK, "bot_muls": []}, "ratios of a resnext are (), expected 3 number(s)"),
    (
        {**BOTTLENECK, "bot_muls": [0.0, float("nan"), 1.0, 1.0]},
        "bot_muls is '[0.0, nan, 1.0, 1.0]', expected a list of 1, 1/2, 1/3, ... for stages",
    ),
    ({**BASIC, "ds": [1, 0, 12, 12]}, "depths of a resnet are (0, 12, 12), expected a tuple of positive integers"),
]


@pytest.mark.parametrize(("net", "message"), REFUSED, ids=range(len(REFUSED)))
def test_networks_of_another_form_are_refused(net, message):
    with pytest.raises(UsageError) as refusal:
        Stages.from_nds(net)
    assert str(refusal.value).removeprefix("nds network: ") == message
