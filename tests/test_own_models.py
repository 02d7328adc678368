import gc
import pickle
import weakref

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

import zeroscore as zs
from zeroscore.own_models import ModelSpace

IMAGES = zs.load_images("noise", batch=8, shape=(3, 8, 8), seed=0)


def net(width):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 36, 2))


def state(model):
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


def seeded(seed, make):
    torch.manual_seed(seed)
    return state(make())


FORMS = {
    "dict of builders": {"a": lambda: net(4), "b": lambda: net(8)},
    "pairs": [("a", lambda: net(4)), ("b", net(8))],
    "function that gives a dict": lambda: {"a": lambda: net(4), "b": lambda: net(8)},
    "function that yields pairs": lambda: ((name, net(width)) for name, width in (("a", 4), ("b", 8))),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_scored_by_name(form):
    space = ModelSpace(FORMS[form], "mine")
    assert list(space) == ["a", "b"]
    frame = zs.score_many(space, space, IMAGES, ("naswot", "params")).to_pandas().set_index("arch")
    assert frame.loc["a", "params"] == 3 * 4 * 9 + 4 + 4 * 36 * 2 + 2
    assert frame.loc["b", "params"] == 3 * 8 * 9 + 8 + 8 * 36 * 2 + 2
    assert (frame["status"] == "OK").all()


def test_nameless_networks_are_called_by_place_and_class():
    found = list(ModelSpace([net(4), nn.ReLU()]))
    assert [name.rpartition("-")[0] for name in found] == ["0-Sequential", "1-ReLU"]


def test_nameless_networks_of_another_layout_have_another_name(tmp_path):
    """A store that knew them by place would give one network the score of another."""
    store = tmp_path / "scores"
    before = ModelSpace([net(4), net(8)], "mine")
    zs.score_many(before, before, IMAGES, ("params",), store=store)
    after = ModelSpace([net(6), net(4), net(8)], "mine")
    found = zs.score_many(after, after, IMAGES, ("params",), store=store).to_pandas()["params"]
    assert found.tolist() == [sum(p.numel() for p in net(width).parameters()) for width in (6, 4, 8)]
    assert list(before) == list(ModelSpace([net(4), net(8)])) == list(ModelSpace(lambda: iter([net(4), net(8)])))


class Addressed(nn.Module):
    def extra_repr(self):
        return f"{object()}"


def test_an_address_is_no_part_of_a_name():
    space = ModelSpace(lambda: iter([Addressed(), nn.LazyLinear(3)]))
    assert [type(space.build(name)) for name in space] == [Addressed, nn.LazyLinear]


def test_builders_run_under_the_seed_and_leave_the_generator_alone():
    space = ModelSpace({"a": lambda: net(4)})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    built = space.build("a", seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(state(built), seeded(3, lambda: net(4)))


def test_what_is_given_built_is_copied():
    given = net(4)
    built = ModelSpace([("a", given)]).build("a")
    assert built is not given
    assert torch.equal(state(built), state(given))
    built.to(memory_format=torch.channels_last)
    assert given[0].weight.is_contiguous()


def test_a_function_that_yields_networks_is_run_once_for_names_and_once_for_scores():
    runs = []

    def networks():
        runs.append(0)
        for width in (2, 3, 4, 5):
            runs[-1] += 1
            yield str(width), net(width)

    space = ModelSpace(networks)
    in_order = [state(space.build(name, seed=1)) for name in ("2", "4", "5")]
    assert runs == [4, 4]

    def all_at_once():
        return [state(net(width)) for width in (2, 3, 4, 5)]

    torch.manual_seed(1)
    expected = all_at_once()
    for built, wanted in zip(in_order, (expected[0], expected[2], expected[3]), strict=True):
        assert torch.equal(built, wanted)
    # Other draws in between change nothing, and an earlier network, or another seed, starts the function anew.
    for name, wanted in (("2", expected[0]), ("3", expected[1])):
        torch.rand(3)
        assert torch.equal(state(space.build(name, seed=1)), wanted)
    assert runs == [4, 4, 2]
    assert not torch.equal(state(space.build("3", seed=2)), expected[1])


class OwnError(Exception):
    pass


def own():
    raise OwnError("of my own")


class Raises(nn.Module):
    """What asks for the first of no parameters."""

    def forward(self, x):
        return x.to(next(self.parameters()).device)


def test_networks_are_in_memory_one_at_a_time():
    alive = weakref.WeakSet()
    most = 0

    def networks():
        nonlocal most
        for width in range(2, 8):
            model = net(width)
            alive.add(model)
            most = max(most, len(alive))
            yield model
            del model

    space = ModelSpace(networks)
    gc.collect()
    zs.score_many(space, space, IMAGES)
    assert most <= 2  # the one that has been scored goes when the next is there


def test_a_builder_that_fails_is_a_status_and_the_others_are_scored():
    makers = {
        "a": lambda: net(-1),
        "b": lambda: net(4),
        "c": lambda: "no network",
        "d": own,
        "e": lambda: next(iter(())),
    }
    space = ModelSpace({**makers, "f": Raises(), "g": lambda: net(4)})
    frame = zs.score_many(space, space, IMAGES).to_pandas().set_index("arch")
    assert frame["status"].to_dict() == {
        "a": frame.loc["a", "status"],
        "b": "OK",
        "c": "naswot MODEL_ERROR: TypeError: own models: the builder of 'c' returned a str, not a torch.nn.Module",
        "d": "naswot MODEL_ERROR: RuntimeError: OwnError: of my own",
        "e": "naswot MODEL_ERROR: RuntimeError: StopIteration",
        "f": "naswot MODEL_ERROR: RuntimeError: StopIteration",
        "g": "OK",
    }
    assert frame.loc["a", "naswot_status"] == "MODEL_ERROR"


def test_what_yields_networks_and_fails_half_way():
    runs = []

    def networks():
        runs.append(1)
        yield "a", net(4)
        if len(runs) > 1:
            raise OwnError("the second time")
        yield "b", net(6)
        yield "c", net(8)

    space = ModelSpace(networks, "mine")
    frame = zs.score_many(space, space, IMAGES).to_pandas()
    assert frame["status"].tolist() == [
        "OK",
        "naswot MODEL_ERROR: RuntimeError: OwnError: the second time",
        "naswot MODEL_ERROR: RuntimeError: mine: what yields networks had ended before 'c': "
        "RuntimeError: OwnError: the second time",
    ]
    assert len(runs) == 2


def test_scores_are_kept_and_resumed_by_name(tmp_path):
    built = []

    def builder(name, width):
        def build():
            built.append(name)
            return net(width)

        return build

    space = ModelSpace({name: builder(name, width) for name, width in (("a", 4), ("b", 8))}, "mine")
    zs.score_many(space, ["a"], IMAGES, store=tmp_path / "scores")
    zs.score_many(space, space, IMAGES, store=tmp_path / "scores")
    assert built == ["a", "b"]


def test_it_is_a_space():
    space = ModelSpace({name: lambda: net(4) for name in "abc"})
    rng = np.random.default_rng(0)
    assert isinstance(space, zs.Space)
    assert {space.sample(rng) for _ in range(50)} == {"a", "b", "c"}
    assert {space.mutate("a", rng) for _ in range(50)} == {"b", "c"} == {*space.neighbours("a")}
    assert (len(space), "a" in space, "d" in space) == (3, True, False)
    assert (space.is_live("a"), space.canonical("a")) == (True, "a")
    with pytest.raises(zs.UsageError, match=r"mine has no network 'd'; known: a$"):
        ModelSpace({"a": net(2)}, "mine").parse("d")
    with pytest.raises(zs.UsageError, match="one network, which nothing can be mutated into"):
        ModelSpace({"a": net(2)}).mutate("a", rng)


def test_another_process_starts_the_function_anew():
    space = ModelSpace(FORMS["function that yields pairs"])
    first = state(space.build("a", seed=4))
    sent = pickle.loads(cloudpickle.dumps(space))
    assert torch.equal(state(sent.build("a", seed=4)), first)
    assert torch.equal(state(sent.build("b", seed=4)), state(space.build("b", seed=4)))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "mine: no networks"),
        (lambda: (), "mine: no networks"),
        (3, "mine is a int; expected networks"),
        ("resnet18", "mine is a str; expected networks"),
        (net(2), "mine is a Sequential; expected networks"),
        (lambda: None, "mine is nothing; expected networks"),
        ([3], "mine: item 0 is a int, not a network"),
        ([("a", 3)], "mine: item 0 is a int, not a network or function that builds one"),
        ([(1, net(2))], "mine: the name of network 0 is 1, not a printable text"),
        ({"\ud800x": net(2)}, "mine: the name of network 0 is .*, not a printable text"),
        ([("a", net(2)), ("a", net(2))], "mine: two networks are called 'a'"),
        ([lambda: net(2)], "mine: item 0 is a function, not a network"),
    ],
)
def test_bad_input(models, message):
    with pytest.raises(zs.UsageError, match=message):
        ModelSpace(models, "mine")


def test_a_function_that_forgets():
    given = [[("a", net(2)), ("b", net(2))], [("a", net(2))]]
    space = ModelSpace(lambda: given.pop(0))
    with pytest.raises(RuntimeError, match="network 1 was called 'b' the first time"):
        space.build("b")
