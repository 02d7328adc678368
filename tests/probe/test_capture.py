"""The three counts against oracles of their own, and the model as it was."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe.nets import Checkpointed, Cut, Functional, ResNet, SharedInput, Variants, Windows, built, conv, noise
from probe.oracle import Recorder, bits_of, overlap, relu_overlap
from reference_procedure import reference_kernel
from zeroscore.probe import Evidence, capture, load_images
from zeroscore.spaces import load_space
from zeroscore.types import COUNTS, Code, Count, UnscorableError

SPACE = load_space("nasbench201")
RANDOM_CELLS = [str(SPACE.sample(rng)) for rng in [np.random.default_rng(201)] for _ in range(25)]
DEGENERATE_CELLS = {
    "all none": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "output zero, convolutions on zeros": "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|",
    "output zero, convolutions unread": "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|none~1|none~2|",
    "dead branch": "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    "dead source": "|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|",
    "all skip": "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
    "all pool": "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|",
    "all 3x3": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
}
CELLS = [*RANDOM_CELLS, *(pytest.param(text, id=name) for name, text in DEGENERATE_CELLS.items())]

published = pytest.mark.filterwarnings("ignore:.*backward hook.*")


def kernel(model: nn.Module, images: Tensor, count: Count = "application", **options: Any) -> np.ndarray:
    found: np.ndarray = Evidence(model, images, count, **options).kernel.numpy()
    assert found.dtype == np.int64
    return found


@pytest.fixture(scope="module")
def cifar(shared) -> Tensor:
    return load_images(shared / "cifar10_sample.npz", batch=128, seed=3)


# ---- reference -------------------------------------------------------------------------------------------------------


@published
@pytest.mark.parametrize("text", CELLS)
def test_reference_is_the_published_procedure(text, cifar):
    images = cifar[:16]
    cell = SPACE.parse(text)
    expected = reference_kernel(SPACE.build(cell, num_classes=1, seed=5), images)
    model = SPACE.build(cell, num_classes=1, seed=5)
    assert model.gradients_reach_all is True
    assert np.array_equal(kernel(model, images, "reference"), expected)
    model.gradients_reach_all = False
    assert np.array_equal(kernel(model, images, "reference"), expected)


@published
@pytest.mark.parametrize("text", [RANDOM_CELLS[0], DEGENERATE_CELLS["dead branch"]])
def test_reference_is_the_published_procedure_at_the_published_batch(text, cifar):
    model = SPACE.build(SPACE.parse(text), num_classes=1, seed=1)
    found = kernel(model, cifar, "reference")
    assert np.array_equal(found, reference_kernel(model, cifar))


NETS: dict[str, Callable[[], nn.Module]] = {
    "resnet, in place": lambda: ResNet(inplace=True),
    "resnet": lambda: ResNet(inplace=False),
    "variants, in place": lambda: Variants(inplace=True),
    "variants": lambda: Variants(inplace=False),
    "shared input": SharedInput,
    "detached": lambda: Cut("detached"),
    "zeroed": lambda: Cut("zeroed"),
    "unused": lambda: Cut("unused"),
    "no_grad": lambda: Cut("no_grad"),
    "checkpointed": lambda: Checkpointed(None),
}


@published
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
@pytest.mark.parametrize("name", NETS)
def test_reference_is_the_published_procedure_on_other_networks(name, frozen):
    def make() -> nn.Module:
        model = built(NETS[name])
        return model.requires_grad_(False) if frozen else model

    assert np.array_equal(kernel(make(), noise(), "reference"), reference_kernel(make(), noise()))


def test_reference_counts_a_module_that_gradients_do_not_reach_only_where_the_model_vouches():
    model = built(lambda: Cut("detached"))
    honest = kernel(model, noise(), "reference")
    model.gradients_reach_all = True
    assert kernel(model, noise(), "reference")[0, 0] == 2 * honest[0, 0]


def test_reference_counts_wrapper_and_relu_and_packs_their_input_once():
    record = capture(built(SharedInput), noise(), "reference")
    assert [codes.multiplicity for codes in record.codes] == [5]  # three ReLUs, the wrapper, and the ReLU inside it
    assert record.applications == 5


# ---- application -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*RANDOM_CELLS[:4], *DEGENERATE_CELLS.values()])
def test_application_counts_every_relu_of_a_cell_once(text):
    images = load_images("noise", batch=8, shape=(3, 16, 16), seed=1)
    model = SPACE.build(SPACE.parse(text), seed=2)
    found = kernel(model, images)
    assert np.array_equal(found, relu_overlap(model, images))


@pytest.mark.parametrize(
    ("net", "gate"),
    [
        *((Functional, gate) for gate in (F.relu, F.relu_, Tensor.relu, Tensor.relu_, F.gelu, F.silu)),
        *((Windows, gate) for gate in (F.relu, F.relu_, Tensor.relu, Tensor.relu_)),
    ],
)
def test_application_equals_a_forward_with_every_gate_recorded_by_hand(net, gate):
    recorder = Recorder(6)
    by_hand = built(lambda: net(recorder(gate)))
    with torch.no_grad():
        by_hand.train()(noise())
    assert np.array_equal(kernel(built(lambda: net(gate)), noise()), overlap(recorder.bits))


def test_a_module_used_many_times_counts_each_time():
    record = capture(built(Functional), noise())
    assert record.applications == 7
    assert sum(codes.multiplicity for codes in record.codes) == 7


def test_one_tensor_that_many_gates_read_is_packed_once():
    record = capture(built(SharedInput), noise())
    assert [codes.multiplicity for codes in record.codes] == [4]


class Function(nn.Module):
    """A network that is a function."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


@pytest.mark.parametrize("count", ["application", "live"])
def test_a_tensor_written_to_between_two_gates_is_packed_again(count):
    def function(x: Tensor) -> Tensor:
        y = x.relu()
        x.sub_(1)
        return y + x.relu()

    x = noise()
    expected = overlap([bits_of(x, 6), bits_of(x - 1, 6)])
    assert np.array_equal(kernel(Function(function), x, count), expected)


@pytest.mark.parametrize("count", ["application", "live"])
def test_a_tensor_that_took_the_memory_of_another_is_packed_again(count):
    def function(x: Tensor) -> Tensor:
        return sum((x - shift).relu() for shift in range(20))

    x = noise()
    expected = overlap([bits_of(x - shift, 6) for shift in range(20)])
    assert np.array_equal(kernel(Function(function), x, count), expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("count", ["application", "live"])
def test_gates_on_windows_count_for_the_image_they_are_of(count, inplace, memory_format):
    def gate(x: Tensor) -> Tensor:
        return F.relu(x, inplace=inplace)

    expected = kernel(built(lambda: Windows(F.relu)), noise())
    found = kernel(built(lambda: Windows(gate, memory_format)), noise(), count)
    assert np.array_equal(found, expected)


def test_gates_whose_input_carries_no_batch_are_left_out():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.randn(6, 1, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            positive = F.softplus(self.scale)  # as many numbers as images, by chance
            return (x * positive).relu() + torch.ones(5).relu().sum() + torch.ones(()).relu()

    assert np.array_equal(kernel(Scaled(), noise()), overlap([bits_of(noise(), 6)]))


# ---- live ------------------------------------------------------------------------------------------------------------


def live_relus(model: nn.Module, text: str) -> list[nn.Module]:
    """The ReLUs that the output depends on, from the cell's text and the network's structure alone."""
    targets = [[term.split("~")[0] for term in node.strip("|").split("|")] for node in text.split("+")]
    reaching = {3}
    for target in (3, 2, 1):
        if target in reaching:
            reaching |= {source for source, op in enumerate(targets[target - 1]) if op != "none"}
    open_cell = 0 in reaching
    ops = [(target, op) for target, terms in enumerate(targets, 1) for op in terms]
    wanted: list[nn.Module] = [model.head[1]]
    cells = [module for module in model.body if hasattr(module, "edges")]
    for cell in cells if open_cell else cells[-1:]:
        wanted += [edge.relu for (to, op), edge in zip(ops, cell.edges, strict=True) if "conv" in op and to in reaching]
    if open_cell:
        for module in model.body:
            if not hasattr(module, "edges"):
                wanted += [module.conv_a.relu, module.conv_b.relu]
    return wanted


@pytest.mark.parametrize("text", [*RANDOM_CELLS[5:13], *DEGENERATE_CELLS.values()])
def test_live_counts_what_the_output_of_a_cell_network_depends_on(text):
    images = load_images("noise", batch=8, shape=(3, 16, 16), seed=1)
    model = SPACE.build(SPACE.parse(text), seed=2)
    found = kernel(model, images, "live")
    assert np.array_equal(found, relu_overlap(model, images, live_relus(model, text)))


@pytest.mark.parametrize("how", ["detached", "zeroed", "unused"])
def test_live_leaves_out_what_is_cut_off(how):
    model = built(lambda: Cut(how))
    assert np.array_equal(kernel(model, noise(), "live"), relu_overlap(model, noise(), [model.live[1]]))


def test_live_keeps_what_is_not_cut_off():
    model = built(lambda: Cut(""))
    assert np.array_equal(kernel(model, noise(), "live"), relu_overlap(model, noise()))


def test_live_keeps_gates_behind_closed_gates():
    model = built(lambda: Functional(mean=100.0))  # every later ReLU is closed for every image
    assert np.array_equal(kernel(model, noise(), "live"), kernel(model, noise()))


@pytest.mark.parametrize("use", ["view", "base"])
def test_live_follows_a_gate_that_writes_through_a_view(use):
    def function(x: Tensor) -> Tensor:
        x = x * 2
        view = x[:, :2]
        view.relu_()
        return view if use == "view" else x

    expected = overlap([bits_of(noise()[:, :2], 6)])
    assert np.array_equal(kernel(Function(function), noise(), "live"), expected)


def test_a_gate_that_only_the_dispatcher_sees_counts_as_live():
    def function(x: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():  # as a compiled extension would
            return x.relu()

    assert np.array_equal(kernel(Function(function), noise(), "live"), overlap([bits_of(noise(), 6)]))


def test_live_without_a_path_to_the_output_is_no_activations():
    with pytest.raises(UnscorableError, match=r"NO_ACTIVATIONS.*1 application\(s\) seen, none counted"):
        kernel(Function(lambda x: x.relu().argmax(1)), noise(), "live")


# ---- every count -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
def test_channels_last_changes_nothing(count):
    class Exact(nn.Module):
        """Whole numbers only, so that every order of summation gives the same sums."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 5, 3, bias=False), nn.Conv2d(5, 4, 3, bias=False)
            self.relu = nn.ReLU(inplace=True)
            for weight in self.parameters():
                nn.init.normal_(weight).mul_(2).round_()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.b(self.relu(self.a(x))).add(0.5)).flatten(1)

    with torch.no_grad():
        model = built(Exact)
    images = noise().mul(3).round()
    contiguous = kernel(model, images, count)
    model = model.to(memory_format=torch.channels_last)
    assert np.array_equal(kernel(model, images.contiguous(memory_format=torch.channels_last), count), contiguous)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("count", COUNTS)
def test_checkpointed_blocks_count_once(count, use_reentrant):
    plain = kernel(built(lambda: Checkpointed(None)), noise(), count)
    assert np.array_equal(kernel(built(lambda: Checkpointed(use_reentrant)), noise(), count), plain)


@pytest.mark.parametrize("count", COUNTS)
def test_compiled_networks_count_as_what_they_were_compiled_from(count):
    plain = kernel(built(ResNet), noise(), count)
    model = built(ResNet)
    compiled = torch.compile(model, backend="eager")
    assert np.array_equal(kernel(compiled, noise(), count), plain)
    model.compile(backend="eager")
    assert np.array_equal(kernel(model, noise(), count), plain)


@pytest.mark.parametrize("vouched", [False, True])
@pytest.mark.parametrize("count", COUNTS)
def test_nothing_is_compiled(count, vouched):
    def backend(graph: Any, inputs: Any) -> Any:
        raise AssertionError("compiling a network costs more than scoring it")

    model = built(ResNet)
    model.gradients_reach_all = vouched
    expected = kernel(model, noise(), count)
    assert np.array_equal(kernel(torch.compile(model, backend=backend), noise(), count), expected)


def test_a_compiled_network_that_has_run_before_counts_too():
    model = built(lambda: Functional(F.gelu))
    plain = kernel(model, noise())
    compiled = torch.compile(built(lambda: Functional(F.gelu)), backend="eager")
    state = {name: value.clone() for name, value in compiled.state_dict().items()}
    compiled(noise())
    compiled.load_state_dict(state)
    assert np.array_equal(kernel(compiled, noise()), plain)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_floating_dtype(dtype, count):
    model = built(ResNet).to(dtype)
    images = noise().to(dtype)
    assert np.array_equal(kernel(model, images, count), relu_overlap(built(ResNet).to(dtype), images))


@pytest.mark.parametrize("count", COUNTS)
def test_bfloat16_precision_runs_under_autocast(count):
    expected_of = built(ResNet)
    with torch.autocast("cpu", torch.bfloat16):
        expected = relu_overlap(expected_of, noise())
    model = built(ResNet)
    assert np.array_equal(kernel(model, noise(), count, precision="bfloat16"), expected)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):  # the caller's own autocast does not leak in
        assert np.array_equal(kernel(model, noise(), count), relu_overlap_float32())


def relu_overlap_float32() -> np.ndarray:
    with torch.autocast("cpu", enabled=False):
        return relu_overlap(built(ResNet), noise())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("make", [ResNet, lambda: Cut("detached")], ids=["resnet", "cut"])
def test_the_callers_gradient_mode_changes_nothing(make, count, mode):
    expected = kernel(built(make), noise(), count)
    model = built(make)
    with mode():
        assert np.array_equal(kernel(model, noise(), count), expected)
    assert not any(parameter.is_inference() for parameter in model.parameters())
    model(noise()).sum().backward()  # still trainable


@dataclass
class Outputs:
    logits: Tensor
    name: str = "outputs"


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda out: (out, None),
        lambda out: {"logits": out, "aux": [3, "text"]},
        lambda out: [{"deep": (out,)}],
        lambda out: Outputs(out),
        lambda out: (torch.zeros(2, dtype=torch.int64), out),
    ],
    ids=["tuple", "dict", "nested", "dataclass", "with integers"],
)
def test_outputs_of_any_kind(wrap, count):
    class Wrapped(ResNet):
        def forward(self, x: Tensor) -> Any:
            return wrap(super().forward(x))

    assert np.array_equal(kernel(built(Wrapped), noise(), count), kernel(built(ResNet), noise(), count))


@pytest.mark.parametrize("count", COUNTS)
def test_one_seed_one_kernel(count):
    def make() -> nn.Module:
        return nn.Sequential(conv(3, 8), nn.Dropout(0.5), nn.ReLU(), Function(noisy), nn.ReLU())

    def noisy(x: Tensor) -> Tensor:
        return x + float(np.random.random()) - random.random()

    model = built(make)
    first = kernel(model, noise(), count, seed=1)
    _ = torch.rand(7), np.random.random(), random.random()
    assert np.array_equal(kernel(model, noise(), count, seed=1), first)
    assert not np.array_equal(kernel(model, noise(), count, seed=2), first)


@pytest.mark.parametrize("count", COUNTS)
def test_the_images_are_not_written_to(count):
    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(x.sub_(0.1)).flatten(1)

    images = noise()
    found = kernel(Greedy(), images, count)
    assert torch.equal(images, noise())
    assert not images.requires_grad
    assert np.array_equal(found, overlap([bits_of(images - 0.1, 6)]))


# ---- the model as it was ---------------------------------------------------------------------------------------------


class Fussy(nn.Module):
    """Changes everything about itself when it runs, and can break off at the end or in the backward pass."""

    def __init__(self, breaks: str = "") -> None:
        super().__init__()
        self.breaks = breaks
        self.trained, self.evaluated = conv(3, 4), conv(4, 4)
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("unset", None)
        self.log: list[str] = ["made"]
        self.cache: dict[str, Tensor] = {"made": torch.ones(1)}
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.seen = x
        self.log.append("ran")
        self.cache["ran"] = self.cache.pop("made")
        self.calls += 1
        self.unset = torch.ones(3)
        self.register_buffer("late", torch.ones(2))
        self.register_forward_hook(lambda *_: None)
        self.trained[0].weight.requires_grad_(False)
        self.drop.p = 0.25
        del self.breaks_unused
        _ = np.random.random(), random.random()
        x = self.drop(self.relu(self.evaluated(self.relu(self.trained(x)))))
        self.calls = self.calls.clone()
        if self.breaks == "forward":
            raise OSError("the model broke off")
        out: Tensor = _Breaks.apply(x) if self.breaks == "backward" else x
        return out.flatten(1)


class _Breaks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        raise OSError("the model broke off")


def fussy(breaks: str = "") -> tuple[Fussy, list[str]]:
    """The model in a mixed state, with hooks of its owner that write to a list."""
    model = built(lambda: Fussy(breaks))
    model.breaks_unused = 1
    model.evaluated.eval()
    model.trained[1].momentum = 0.3
    model.evaluated[0].weight.grad = torch.full_like(model.evaluated[0].weight, 7.0)
    model.evaluated[1].weight.requires_grad_(False)
    heard: list[str] = []
    model.relu.register_forward_hook(lambda *_: heard.append("forward"))
    model.relu.register_forward_pre_hook(lambda *_: heard.append("pre"))
    model.trained[0].register_full_backward_hook(lambda *_: heard.append("backward"))
    return model, heard


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that can be compared with ==, tensors by identity and by value."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            held = [(k, id(v)) for k, v in value.items()] if isinstance(value, dict) else repr(value)
            found[f"{name}.{key}"] = (id(value), held)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in tensors.items():
        grad = tensor.grad
        found[f"tensor {name}"] = (id(tensor), tensor.tolist(), tensor.requires_grad, tensor.is_leaf)
        found[f"gradient {name}"] = None if grad is None else (id(grad), grad.tolist())
    found["torch"] = torch.get_rng_state().tolist()
    found["numpy"] = repr(np.random.get_state())
    found["python"] = random.getstate()
    return found


@pytest.mark.parametrize("breaks", ["", "forward", "backward"])
@pytest.mark.parametrize("count", COUNTS)
def test_the_model_comes_back_as_it_was(count, breaks):
    model, heard = fussy(breaks)
    before = snapshot(model)
    breaks_off = breaks == "forward" or (breaks == "backward" and count != "application")
    with pytest.raises(OSError, match="broke off") if breaks_off else nullcontext():
        kernel(model, noise(), count)
    after = snapshot(model)
    assert {key for key in before | after if before.get(key) != after.get(key)} == set()
    assert heard[:2] == ["pre", "forward"]  # the owner's hooks ran


@pytest.mark.filterwarnings("ignore:Full backward hook")
@pytest.mark.parametrize("count", COUNTS)
def test_the_owners_hooks_still_work_and_ours_are_gone(count):
    model, heard = fussy()
    kernel(model, noise(), count)
    heard.clear()
    model.trained.train()
    model.relu(model.trained(noise()).clone()).sum().backward()
    assert heard == ["pre", "forward", "backward"]
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()].count(2) == 1
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 2


@pytest.mark.parametrize("count", COUNTS)
def test_a_network_scores_the_same_after_it_was_scored(count):
    model, _ = fussy()
    first = kernel(model, noise(), count)
    assert np.array_equal(kernel(model, noise(), count), first)


@pytest.mark.parametrize("count", COUNTS)
def test_the_pass_runs_in_training_mode(count):
    model = built(ResNet).eval()
    assert np.array_equal(kernel(model, noise(), count), relu_overlap(built(ResNet), noise()))
    assert not any(module.training for module in model.modules())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize("count", COUNTS)
def test_flags_of_a_scripted_network_come_back(count):
    scripted = torch.jit.script(nn.Sequential(conv(3, 4), nn.Dropout(0.1))).eval()
    kernel(nn.Sequential(scripted, nn.ReLU()), noise(), count)
    assert not any(module.training for module in scripted.modules())
    assert scripted.state_dict()["0.1.num_batches_tracked"] == 0


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize("count", ["application", "live"])
def test_gates_of_a_scripted_network_count(count):
    def make() -> nn.Module:
        return built(lambda: nn.Sequential(conv(3, 4), nn.ReLU()))

    assert np.array_equal(kernel(torch.jit.script(make()), noise(), count), relu_overlap(make(), noise()))


@pytest.mark.parametrize("count", COUNTS)
def test_a_reading_that_fails_says_why(count):
    with pytest.raises(UnscorableError) as failure:
        kernel(nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Sigmoid()), noise(), count)
    assert failure.value.status.code is Code.NO_ACTIVATIONS
