import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.configs import points_to_evaluate, to_arch, to_config

CHANNELS = st.tuples(*[st.sampled_from([8, 16, 24, 32, 40, 48, 56, 64])] * 5)


@given(CHANNELS)
def test_a_dictionary_holds_one_choice_a_place(channels):
    space = zs.load_space("nats_size")
    config = {f"layer_{i}": str(number) for i, number in enumerate(channels, start=1)}
    arch = space.parse(":".join(map(str, channels)))
    assert to_config(space, arch) == config
    assert to_arch(space, {"lr": 0.1, **dict(reversed(config.items()))}) == arch


def test_the_text_where_choices_depend_on_each_other():
    space = zs.load_space("nasbench101")
    arch = space.sample(np.random.default_rng(0))
    assert to_config(space, arch) == {"arch": str(arch)}
    assert to_arch(space, {"arch": str(arch), "lr": 0.1}) == arch
    with pytest.raises(zs.UsageError, match="no 'arch', the text of a nasbench101 architecture, among lr"):
        to_arch(space, {"lr": 0.1})


def test_a_place_missing_or_without_such_a_choice():
    space = zs.load_space("nats_size")
    config = space.to_choices(space.parse("8:8:8:8:8"))
    with pytest.raises(zs.UsageError, match="layer_3"):
        to_arch(space, {name: value for name, value in config.items() if name != "layer_3"})
    with pytest.raises(zs.UsageError, match="layer_3='9' is no choice"):
        to_arch(space, {**config, "layer_3": "9"})


def test_points_are_the_guides_best():
    space = zs.load_space("nas_bench_macro")
    guide = ScoreGuide(space, {str(arch): (float(i), 0.0) for i, arch in enumerate(space)}, pool=12)
    expected = sorted(guide.pool, key=lambda arch: int(str(arch), 3), reverse=True)[:3]
    assert ["".join(point.values()) for point in points_to_evaluate(guide, 3)] == [str(arch) for arch in expected]
    with pytest.raises(zs.UsageError, match="n=13 is more than the pool's 12"):
        points_to_evaluate(guide, 13)
