"""Networks by name: what is built is what was named, seeded, and a name that means nothing says so."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from zeroscore.spaces import load_space
from zeroscore.types import UsageError, ZeroscoreError
from zeroscore.zoo import find, import_timm

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None, reason="timm is not installed: pip install 'zeroscore[zoo]'"
)

needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed: pip install torchvision"
)


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> None:
    """A module of the user's in the current folder, gone with the test."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, name, raising=False)
    (folder / f"{name}.py").write_text(textwrap.dedent(source))


def equal(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_cell_of_a_space() -> None:
    target = find(f"nasbench201:{CELL}")
    space = load_space("nasbench201")
    assert (target.text, target.shape) == (f"nasbench201:{CELL}", (3, 32, 32))
    assert equal(target.build(4), space.build(space.parse(CELL), seed=4))


@needs_timm
def test_a_timm_model_is_untrained_and_seeded() -> None:
    timm = import_timm()
    target = find("timm:mobilenetv3_small_050")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = timm.create_model("mobilenetv3_small_050")
    before = torch.get_rng_state()
    assert equal(target.build(7), expected)
    assert not equal(target.build(8), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert target.shape == (3, 224, 224)


@needs_timm
def test_a_timm_model_expects_images_of_its_own_size() -> None:
    assert find("timm:inception_v3").shape == (3, 299, 299)


@needs_torchvision
@pytest.mark.parametrize(
    ("name", "pixels"), [("squeezenet1_1", 224), ("quantized_inception_v3", 299), ("lraspp_mobilenet_v3_large", 224)]
)
def test_a_torchvision_model_is_untrained_and_seeded(name: str, pixels: int, recwarn: pytest.WarningsRecorder) -> None:
    """Nothing is downloaded: segmentation networks would fetch a trained backbone unless told not to."""
    import_timm()
    from torchvision import models

    target = find(f"torchvision:{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models._api.WeightsEnum, "get_state_dict", lambda *_, **__: pytest.fail("a download"))
        built = target.build(7)
        assert equal(target.build(7), built)
        assert not equal(target.build(8), built)
    assert not recwarn.list
    assert type(built).__module__ == models.get_model_builder(name).__module__
    assert target.shape == (3, pixels, pixels)


@needs_torchvision
def test_an_unknown_torchvision_model() -> None:
    with pytest.raises(UsageError, match=r"^torchvision has no model 'resnet81'; did you mean .*resnet"):
        find("torchvision:resnet81")


def test_torchvision_that_is_missing_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ZeroscoreError, match=r"^torchvision models need torchvision \(.*\): pip install torchvision$"):
        find("torchvision:resnet18")


@needs_timm
@pytest.mark.parametrize(
    ("name", "words"), [("resnet81", "did you mean"), ("resnet18.nobodys_weights", "nobodys_weights"), ("", "write")]
)
def test_an_unknown_timm_model(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as found:
        find(f"timm:{name}")
    assert name in str(found.value)
    assert "\n" not in str(found.value)


def test_a_function_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path, monkeypatch, "users_nets", "from torch import nn\ndef make(): return nn.Linear(5, 5)\nready = make()"
    )
    target = find("users_nets:make")
    before = torch.get_rng_state()
    assert target.shape == (3, 32, 32)
    assert equal(target.build(1), target.build(1))
    assert not equal(target.build(1), target.build(2))
    ready = find("users_nets:ready")
    assert ready.build(1) is ready.build(2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("resnet18", UsageError, "write 'nasbench201:"),
        ("", UsageError, "write 'nasbench201:"),
        (":factory", UsageError, "write 'nasbench201:"),
        ("module:", UsageError, "write 'nasbench201:"),
        (".users_bad:make", UsageError, "write 'nasbench201:"),
        ("users bad:make", UsageError, "write 'nasbench201:"),
        ("nasbench21:|none~0|", UsageError, "did you mean nasbench201"),
        ("users_bad.inner:make", UsageError, "no space or module is called 'users_bad.inner'"),
        ("nasbench201:|none~0|", UsageError, "1 node"),
        ("users_bad:mkae", UsageError, "did you mean make"),
        ("users_bad:number", UsageError, "number is a int, not a function"),
        ("users_bad:zzz", UsageError, "it has make"),
        ("users_lost:make", ZeroscoreError, "ModuleNotFoundError: No module named 'users_missing_dependency'"),
        ("users_raises:make", ZeroscoreError, "ZeroDivisionError: division by zero"),
        ("users_typo:make", ZeroscoreError, "SyntaxError"),
    ],
)
def test_a_name_that_means_nothing(
    text: str, kind: type[ZeroscoreError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, monkeypatch, "users_bad", "def make(): return 5\nnumber = 7")
    write(tmp_path, monkeypatch, "users_lost", "import users_missing_dependency")
    write(tmp_path, monkeypatch, "users_raises", "1 / 0")
    write(tmp_path, monkeypatch, "users_typo", "def make(:\n")
    with pytest.raises(ZeroscoreError) as found:
        find(text)
    assert type(found.value) is kind
    assert words in str(found.value)
    assert repr(text) in str(found.value) or text.partition(":")[2] in str(found.value)
    assert "\n" not in str(found.value)


def test_a_function_that_returns_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch, "users_number", "def make(): return 5")
    target = find("users_number:make")
    with pytest.raises(UsageError, match=r"'users_number:make': make\(\) returned int, not a torch.nn.Module"):
        target.build(0)


STAND_IN = """
    # What torchvision does when it is imported: it declares shapes for operators that its compiled library defines.
    import torch
    @torch.library.register_fake("torchvision::{operator}")
    def shapes(dets, scores, iou_threshold):
        raise AssertionError("not called")
    @torch.library.register_fake("torchvision::nms")
    def other_shapes(dets, scores, iou_threshold):
        raise AssertionError("not called")
"""


@pytest.mark.parametrize(
    ("stand_in", "says"),
    [
        (STAND_IN.format(operator="qnms"), "imported"),
        (STAND_IN.format(operator="roi_align"), "refused: torchvision cannot be imported: "),
        ("raise RuntimeError('built for another torch')", "cannot be imported: built for another torch"),
    ],
)
def test_torchvision_without_its_compiled_library(stand_in: str, says: str, tmp_path: Path) -> None:
    """As beside a CPU build of torch, where a CUDA build's library cannot be loaded; in a process of its own."""
    for name, source in (("torchvision", stand_in), ("timm", "import torchvision; imported = True")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(textwrap.dedent(source))
    script = """
        from zeroscore.types import ZeroscoreError
        from zeroscore.zoo import import_timm
        try:
            print("imported" if import_timm().imported and import_timm().imported else "")
        except ZeroscoreError as error:
            print("refused:", error)
    """
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, env=environment, check=False
    )
    assert says in ran.stdout, ran.stderr
    assert ran.stdout.count("\n") == 1


def test_timm_that_is_missing_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "timm.py").write_text("raise ImportError('no such package here')")
    script = "from zeroscore.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", script, "score", "timm:resnet18"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == ("error: timm models need timm (no such package here): pip install 'zeroscore[zoo]'\n")


def test_a_target_knows_its_space():
    text = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"
    assert find(f"nasbench201:{text}").space == "nasbench201"
    assert find("torch.nn:Identity").space == ""
