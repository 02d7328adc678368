"""score_many, Ranking, load_ranking, evaluate and score_function against scores taken one by one."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import zeroscore as zs
from zeroscore.engines import ENGINES, Settings, Task
from zeroscore.engines.local import local
from zeroscore.probe import Evidence
from zeroscore.ranking import Progress, Ranking, evaluate, load_ranking, score_function, score_many
from zeroscore.scorers import SCORERS, Scorer
from zeroscore.store import read_store, write_frame
from zeroscore.tables import load_table
from zeroscore.types import Code, Needs, Score, Status, UnscorableError, UsageError, ZeroscoreError

from .toys import (
    CHAIN,
    DEAD_END_1X1,
    DEAD_END_3X3,
    IMAGES,
    NONE,
    POOL,
    POOL_OF_CELLS,
    SPACE,
    TWIN,
    TWIN_MIRRORED,
    Watched,
    WatchedCodes,
    alone,
    representative,
)


def processor(monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool) -> str:
    """Pretend that this processor multiplies bfloat16, or does not; the precision that "auto" then is."""
    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, question, lambda: has_bfloat16, raising=False)
    return "bfloat16" if has_bfloat16 else "float32"


def add_scorer(monkeypatch: pytest.MonkeyPatch, name: str, function: Any, **options: Any) -> None:
    scorer = Scorer(name, function, Needs(static=True), options.pop("higher_is_better", True), "made up", **options)
    monkeypatch.setitem(SCORERS._items, name, scorer)


def ranking_of(**columns: list[float]) -> Ranking:
    """A ranking of made-up scores; -inf and NaN are failures."""
    n = len(next(iter(columns.values())))
    status = {
        f"{name}_status": ["OK" if math.isfinite(v) else "SINGULAR" for v in values] for name, values in columns.items()
    }
    archs = [f"a{i}" for i in range(n)]
    frame = pd.DataFrame({"arch": archs, "canonical": archs, **columns, "status": "OK", "seconds": 0.1, **status})
    return Ranking(frame, tuple(columns), {})


# --- what is scored


@pytest.mark.parametrize("space", [Watched(), WatchedCodes(), SPACE], ids=["networks", "codes", "as it is"])
@pytest.mark.parametrize("count", ["application", "reference", "live"])
def test_a_score_is_that_of_the_representative_built_alone(count: Any, space: Any) -> None:
    images = zs.load_images("noise", batch=6, shape=(3, 16, 16), seed=5)
    scorers = ("naswot", "params", "convs")
    ranking = score_many(space, [CHAIN, TWIN], images, scorers, count=count, seed=3, precision="float32")
    for cell, row in zip([CHAIN, TWIN], ranking.to_pandas().to_dict("records"), strict=True):
        assert row["arch"] == cell
        assert row["canonical"] == representative(cell, count)
        assert row["naswot"] == alone(row["canonical"], "naswot", count=count, seed=3, images=images)
        assert row["params"] == sum(p.numel() for p in SPACE.build(SPACE.parse(cell)).parameters())
        assert row["convs"] == alone(cell, "convs")
        assert row["status"] == row["naswot_status"] == row["params_status"] == row["convs_status"] == "OK"
        assert 0 < row["seconds"] < 60


def test_the_layout_of_the_images_does_not_matter() -> None:
    sideways = IMAGES.transpose(2, 3).contiguous().transpose(2, 3)
    one, other = (score_many(SPACE, [CHAIN, TWIN], images) for images in (IMAGES, sideways))
    pd.testing.assert_series_equal(one.frame["naswot"], other.frame["naswot"], check_exact=True)
    assert one.provenance == other.provenance


def test_a_class_is_built_once_and_answers_for_all_its_members() -> None:
    space = Watched()
    ranking = score_many(space, [TWIN, CHAIN, TWIN_MIRRORED], IMAGES, precision="float32")
    assert space.built == [representative(TWIN), representative(CHAIN)]
    first, _, last = ranking.frame.to_dict("records")
    assert first["naswot"] == last["naswot"] == alone(TWIN_MIRRORED, "naswot")
    assert first["canonical"] == last["canonical"] == TWIN_MIRRORED
    assert first["seconds"] == last["seconds"]
    assert ranking.classes == 2


def test_a_class_whose_codes_are_to_be_had_is_not_built() -> None:
    space, plain = WatchedCodes(), Watched()
    asked = [TWIN, CHAIN, TWIN_MIRRORED]
    ranking = score_many(space, asked, IMAGES, precision="float32")
    assert space.asked == [[representative(TWIN)], [representative(CHAIN)]]
    assert space.built == []
    usual = score_many(plain, asked, IMAGES, precision="float32")
    assert plain.built == [representative(TWIN), representative(CHAIN)]
    pd.testing.assert_frame_equal(
        ranking.frame.drop(columns="seconds"), usual.frame.drop(columns="seconds"), check_exact=True
    )


def test_static_scorers_read_every_architecture_itself() -> None:
    space = Watched()
    frame = score_many(space, [DEAD_END_3X3, DEAD_END_1X1], IMAGES, ("naswot", "params")).frame
    assert frame["naswot"].nunique() == 1
    assert frame["params"].tolist() == [alone(DEAD_END_3X3, "params"), alone(DEAD_END_1X1, "params")]
    assert frame["params"].nunique() == 2
    built = Counter(space.built)
    assert built == Counter({representative(DEAD_END_3X3), DEAD_END_3X3, DEAD_END_1X1})
    coded = WatchedCodes()
    again = score_many(coded, [DEAD_END_3X3, DEAD_END_1X1], IMAGES, ("naswot", "params"), precision="float32").frame
    assert again["naswot"].tolist() == [alone(representative(DEAD_END_3X3), "naswot")] * 2
    assert again["params"].tolist() == frame["params"].tolist()
    assert coded.asked == [[representative(DEAD_END_3X3)]]
    assert Counter(coded.built) == Counter({DEAD_END_3X3, DEAD_END_1X1})


def test_a_network_is_built_once_for_all_its_scorers() -> None:
    space = Watched()
    score_many(space, [TWIN_MIRRORED, CHAIN], IMAGES, ("params", "naswot", "convs"))
    assert Counter(space.built) == Counter([TWIN_MIRRORED, CHAIN, representative(CHAIN)])
    coded = WatchedCodes()
    score_many(coded, [TWIN_MIRRORED, CHAIN], IMAGES, ("params", "naswot", "convs"))
    assert Counter(coded.built) == Counter([TWIN_MIRRORED, CHAIN])
    assert coded.asked == [[TWIN_MIRRORED], [representative(CHAIN)]]


def test_order_is_kept_and_repeats_are_one() -> None:
    space = Watched()
    asked = [POOL, SPACE.parse(CHAIN), TWIN, CHAIN, SPACE.parse(POOL), TWIN]
    ranking = score_many(space, (arch for arch in asked), IMAGES, ["params", "params"])
    assert ranking.frame["arch"].tolist() == [POOL, CHAIN, TWIN]
    assert ranking.scorers == ("params",)
    assert len(space.built) == 3


def test_one_text_and_one_name_are_lists_of_one() -> None:
    ranking = score_many(SPACE, CHAIN, IMAGES, "params")
    assert ranking.frame["arch"].tolist() == [CHAIN]
    assert ranking.scorers == ("params",)
    assert ranking.aggregate("params").tolist() == [0.0]


def test_scores_do_not_depend_on_the_company() -> None:
    together = score_many(SPACE, [*POOL_OF_CELLS, NONE], IMAGES, ("naswot", "flops")).frame.set_index("arch")
    for cells in ([TWIN_MIRRORED], [DEAD_END_1X1, TWIN], [NONE, CHAIN]):
        few = score_many(SPACE, cells, IMAGES, ("flops", "naswot")).frame.set_index("arch")
        columns = ["naswot", "flops", "canonical", "status"]
        pd.testing.assert_frame_equal(few[columns], together.loc[cells, columns], check_exact=True)


def test_seeds_and_counts_decide() -> None:
    values = {
        (seed, count): score_many(SPACE, [DEAD_END_3X3], IMAGES, seed=seed, count=count).frame["naswot"][0]
        for seed in (0, 1, -1)
        for count in ("application", "live")
    }
    assert len(set(values.values())) == 6
    int64: Any = np.int64(1)
    assert score_many(SPACE, [DEAD_END_3X3], IMAGES, seed=int64).frame["naswot"][0] == values[1, "application"]


def test_number_of_classes() -> None:
    one, ten = (score_many(SPACE, [CHAIN], IMAGES, "params", num_classes=n).frame["params"][0] for n in (1, 10))
    assert ten - one == 9 * (64 + 1)


def test_generators_and_flags_are_left_alone() -> None:
    torch.manual_seed(11)
    before, numpy_before = torch.get_rng_state(), repr(np.random.get_state())
    score_many(SPACE, [CHAIN, NONE], IMAGES, ("naswot", "flops"))
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(np.random.get_state()) == numpy_before
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_provenance_says_what_decided(has_bfloat16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    precision = processor(monkeypatch, has_bfloat16)
    found = score_many(
        SPACE, [CHAIN], IMAGES, "params", seed=4, count="live", precision="auto", num_classes=3
    ).provenance
    expected = {
        "space": "nasbench201",
        "batch": 4,
        "count": "live",
        "precision": precision,
        "seed": 4,
        "num_classes": 3,
    }
    assert {key: found[key] for key in expected} == expected
    assert "tie_weights" not in found
    assert found["torch"] == torch.__version__
    assert found["zeroscore"] == zs.__version__
    others = [IMAGES + 1, IMAGES[:, :, :4], IMAGES.double(), IMAGES.flip(0)]
    hashes = {score_many(SPACE, [CHAIN], images, "params").provenance["images"] for images in (IMAGES, *others)}
    assert len(hashes) == 5


# --- progress


def test_progress_counts_up_to_the_end() -> None:
    seen: list[Progress] = []
    asked = [TWIN, TWIN_MIRRORED, CHAIN, DEAD_END_3X3, DEAD_END_1X1]
    score_many(SPACE, asked, IMAGES, ("naswot", "params"), progress=seen.append)
    networks = {*map(representative, asked), *asked}
    assert [p.scored for p in seen] == list(range(len(networks) + 1))
    assert {p.to_score for p in seen} == {len(networks)}
    assert {p.total for p in seen} == {5}
    assert seen[0].done == 0
    assert seen[-1].done == 5
    assert all(a.done <= b.done and a.elapsed_s <= b.elapsed_s for a, b in pairwise(seen))
    assert seen[0].latest == ""
    assert {p.latest for p in seen[1:]} == networks
    assert math.isnan(seen[0].eta_s)
    for p in seen[1:]:
        assert p.eta_s == pytest.approx(p.elapsed_s * (len(networks) - p.scored) / p.scored)
    assert seen[-1].eta_s == 0


def test_progress_counts_what_the_store_has(tmp_path: Path) -> None:
    score_many(SPACE, [TWIN, CHAIN], IMAGES, store=tmp_path)
    seen: list[Progress] = []
    score_many(SPACE, [CHAIN, POOL, TWIN_MIRRORED, TWIN], IMAGES, store=tmp_path, progress=seen.append)
    assert [(p.done, p.total, p.scored, p.to_score) for p in seen] == [(3, 4, 0, 1), (4, 4, 1, 1)]


# --- failures


def raising(error: BaseException) -> Any:
    def function(evidence: Evidence) -> float:
        raise error

    return function


UNSCORABLE = UnscorableError(Status(Code.NO_ACTIVATIONS, "nothing to read"), -math.inf)


@pytest.mark.parametrize(
    ("function", "code", "reason", "value"),
    [
        (raising(RuntimeError("two\nlines")), "MODEL_ERROR", "RuntimeError: two lines", math.nan),
        (raising(KeyError("k")), "MODEL_ERROR", "KeyError: 'k'", math.nan),
        (
            raising(ZeroDivisionError("division by zero")),
            "MODEL_ERROR",
            "ZeroDivisionError: division by zero",
            math.nan,
        ),
        (raising(AssertionError()), "MODEL_ERROR", "AssertionError: no message", math.nan),
        (raising(MemoryError("600 GiB")), "OUT_OF_MEMORY", "600 GiB", math.nan),
        (raising(torch.OutOfMemoryError("CUDA out of memory")), "OUT_OF_MEMORY", "CUDA out of memory", math.nan),
        (raising(UNSCORABLE), "NO_ACTIVATIONS", "nothing to read", -math.inf),
        (lambda evidence: math.inf, "NON_FINITE", "odd came out as inf", math.nan),
        (lambda evidence: math.nan, "NON_FINITE", "odd came out as nan", math.nan),
        (lambda evidence: "high", "MODEL_ERROR", "ValueError: could not convert string to float: 'high'", math.nan),
    ],
)
def test_a_scorer_that_fails_is_a_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, function: Any, code: str, reason: str, value: float
) -> None:
    add_scorer(monkeypatch, "odd", function)
    ranking = score_many(SPACE, [CHAIN, TWIN], IMAGES, ("odd", "params"), store=tmp_path)
    for row in ranking.frame.to_dict("records"):
        np.testing.assert_equal(row["odd"], value)
        assert (row["odd_status"], row["params_status"]) == (code, "OK")
        assert row["status"] == f"odd {code}: {reason}"
        assert row["params"] == alone(row["arch"], "params")
    assert {(r.status, r.reason) for r in read_store(tmp_path)[0] if r.scorer == "odd"} == {(code, reason)}
    pd.testing.assert_frame_equal(load_ranking(tmp_path).frame, ranking.frame)


def test_details_that_fail_leave_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    add_scorer(monkeypatch, "odd", lambda evidence: 1.0, details=raising(ValueError("late")))
    row = score_many(SPACE, [CHAIN], IMAGES, "odd").frame.iloc[0]
    assert math.isnan(row["odd"])
    assert row["status"] == "odd MODEL_ERROR: ValueError: late"


@pytest.mark.parametrize("where", ["unbuildable", "broken"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("no such layer"), "MODEL_ERROR: RuntimeError: no such layer"),
        (TypeError("not this"), "MODEL_ERROR: TypeError: not this"),
        (MemoryError("600 GiB"), "OUT_OF_MEMORY: 600 GiB"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "OUT_OF_MEMORY: RuntimeError: DefaultCPUAllocator",
        ),
    ],
)
def test_a_network_that_fails_is_a_status(where: str, error: BaseException, status: str) -> None:
    failing = {representative(TWIN): error}
    space = Watched(unbuildable=failing) if where == "unbuildable" else Watched(broken=failing)
    ranking = score_many(space, [CHAIN, TWIN, POOL], IMAGES, ("naswot", "flops"), precision="float32")
    failed = ranking.frame.iloc[1]
    assert math.isnan(failed["naswot"])
    assert failed["status"].startswith(f"naswot {status}")
    assert failed["flops"] == alone(TWIN, "flops")
    good = ranking.frame.iloc[[0, 2]]
    assert good["status"].tolist() == ["OK", "OK"]
    assert good["naswot"].tolist() == [alone(representative(cell), "naswot") for cell in (CHAIN, POOL)]


def test_every_scorer_of_a_network_that_cannot_be_built_fails() -> None:
    space = Watched(unbuildable={TWIN_MIRRORED: MemoryError("600 GiB")})
    row = score_many(space, [TWIN_MIRRORED], IMAGES, ("naswot", "params")).frame.iloc[0]
    assert row["status"] == "naswot OUT_OF_MEMORY: 600 GiB; params OUT_OF_MEMORY: 600 GiB"
    assert row["seconds"] > 0


def test_a_dead_cell_is_singular() -> None:
    frame = score_many(SPACE, [CHAIN, NONE, POOL], IMAGES, ("naswot", "params")).frame
    assert frame["naswot_status"].tolist() == ["OK", "SINGULAR", "OK"]
    assert frame["naswot"][1] == -math.inf
    assert frame["status"][1] == "naswot SINGULAR: dead network: every image gets the same code"
    assert frame["params_status"].tolist() == ["OK", "OK", "OK"]


def test_duplicate_images_are_named() -> None:
    images = IMAGES.clone()
    images[3] = images[1]
    frame = score_many(SPACE, [CHAIN, NONE], images).frame
    assert frame["naswot"].tolist() == [-math.inf, -math.inf]
    assert frame["status"][0] == "naswot SINGULAR: duplicate images: 1 equal pair(s), the first is images 1 and 3"


@pytest.mark.parametrize(
    ("space", "images", "words"),
    [
        *(
            (space, images, words)
            for space in (Watched(), SPACE)
            for images, words in (
                (IMAGES[:, :1], "to have 3 channels, but got 1 channels"),
                (IMAGES[:, :, :2, :2], "Output size is too small"),
                (IMAGES.flatten(1), "got input of size: [4, 192]"),
            )
        ),
        (Watched(), IMAGES.double(), "expected scalar type Double but found Float"),
    ],
)
def test_images_of_a_shape_that_the_networks_cannot_take(space: Any, images: torch.Tensor, words: str) -> None:
    frame = score_many(space, [CHAIN, POOL], images, ("naswot", "params"), precision="float32").frame
    assert frame["naswot_status"].tolist() == ["MODEL_ERROR", "MODEL_ERROR"]
    assert frame["status"].str.contains(words, regex=False).all()
    assert frame["params_status"].tolist() == ["OK", "OK"]


def test_an_error_that_stops_the_run_keeps_what_is_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.scored == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_many(SPACE, [CHAIN, POOL, TWIN], IMAGES, store=tmp_path, progress=interrupt)
    assert [row.arch for row in read_store(tmp_path)[0]] == [CHAIN, POOL]
    space = Watched()
    score_many(space, [CHAIN, POOL, TWIN], IMAGES, store=tmp_path)
    assert space.built == [representative(TWIN)]


@pytest.mark.parametrize("place", ["build", "codes"])
def test_an_error_on_the_way_of_an_interruption_is_nobodys_score(place: str, tmp_path: Path) -> None:
    def interrupt(asked: str | list[str]) -> None:
        if representative(POOL) in asked:
            try:
                raise KeyboardInterrupt
            finally:
                torch._C._pop_torch_function_stack()  # type: ignore[attr-defined]  # raises: there is none

    space = Watched(on_build=interrupt) if place == "build" else WatchedCodes(on_codes=interrupt)
    with pytest.raises(KeyboardInterrupt):
        score_many(space, [CHAIN, POOL, TWIN], IMAGES, store=tmp_path)
    assert POOL not in [row.arch for row in read_store(tmp_path)[0]]
    frame = score_many(SPACE, [CHAIN, POOL, TWIN], IMAGES, store=tmp_path).frame
    assert frame["status"].tolist() == ["OK"] * 3


def bad_images() -> list[tuple[Any, str]]:
    nan = IMAGES.clone()
    nan[2, 0, 0, 0] = math.nan
    return [
        (IMAGES[:1], "batch of 1"),
        (IMAGES[:0], "batch of 0"),
        (IMAGES[0, 0, 0], "expected [batch, channels, height, width]"),
        ((IMAGES * 255).to(torch.uint8), "scale them to floating point"),
        (nan, "1 of 4 images hold NaN or Inf, the first is image 2"),
        (IMAGES / 0, "4 of 4 images hold NaN or Inf"),
        (IMAGES.numpy(), "images must be a tensor, not ndarray"),
        (IMAGES[:, :0], "which is empty"),
    ]


@pytest.mark.parametrize(("images", "words"), bad_images())
def test_images_that_cannot_be_scored(tmp_path: Path, images: Any, words: str) -> None:
    with pytest.raises(UsageError) as found:
        score_many(SPACE, [CHAIN], images, store=tmp_path / "store")
    assert words in str(found.value)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"archs": []}, "no architectures to score"),
        ({"archs": [CHAIN, "|nor_conv_3x3~0|"]}, "nasbench201 cell '|nor_conv_3x3~0|': "),
        ({"archs": [CHAIN, 5]}, "5 is no architecture of space 'nasbench201'"),
        ({"archs": [["unhashable"]]}, "['unhashable'] is no architecture of space 'nasbench201'"),
        ({"archs": [None]}, "None is no architecture"),
        ({"scorers": ()}, "no scorers; known: "),
        ({"scorers": ("params", "nawsot")}, "unknown scorer 'nawsot' (did you mean 'naswot'?); known: "),
        ({"scorers": "nawsot"}, "unknown scorer 'nawsot'"),
        ({"count": "twice"}, "unknown count 'twice'; known: application, reference, live"),
        ({"precision": "float8"}, "unknown precision 'float8'; known: auto, float32, bfloat16"),
        ({"engine": "cloud"}, "unknown engine 'cloud'"),
        ({"device": "gpu"}, "cannot use device 'gpu': "),
        ({"device": "meta"}, "cannot use device 'meta': "),
        ({"seed": 0.5}, "seed is 0.5, expected a whole number"),
        ({"seed": 2**63}, "seed is 9223372036854775808, expected "),
        ({"seed": None}, "seed is None, expected a whole number"),
        ({"num_classes": 0}, "num_classes is 0, expected 1 to "),
        ({"num_classes": "10"}, "num_classes is '10', expected a whole number"),
    ],
)
def test_words_that_make_no_sense(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    words = {"archs": [CHAIN], "scorers": ("params",), "store": tmp_path / "store", **changes}
    with pytest.raises(UsageError) as found:
        score_many(SPACE, images=IMAGES, **words)
    assert message in str(found.value)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="cannot use device 'cuda'"):
        score_many(SPACE, [CHAIN], IMAGES, device="cuda")


# --- the store


def test_rows_are_on_disk_after_every_network(tmp_path: Path) -> None:
    on_disk: list[int] = []

    def look(progress: Progress) -> None:
        rows = read_store(tmp_path)[0]
        on_disk.append(len(rows))
        scorers = Counter(row.arch for row in rows)
        assert sum(n == 2 for n in scorers.values()) == progress.done

    asked = [TWIN, CHAIN, TWIN_MIRRORED]
    score_many(SPACE, asked, IMAGES, ("naswot", "params"), store=tmp_path, progress=look)
    # TWIN_MIRRORED stands for both twins: two scores of naswot and its own parameters come at once.
    assert sorted(np.diff([0, *on_disk]).tolist()) == [0, 1, 1, 1, 3]


def test_a_stored_row_says_everything(tmp_path: Path) -> None:
    ranking = score_many(SPACE, [TWIN, NONE], IMAGES, ("naswot", "params"), store=tmp_path, precision="float32")
    rows, provenance = read_store(tmp_path)
    assert provenance == ranking.provenance
    by_key = {(row.arch, row.scorer): row for row in rows}
    assert len(rows) == len(by_key) == 4
    row = by_key[TWIN, "naswot"]
    assert (row.canonical, row.value, row.status, row.reason) == (
        TWIN_MIRRORED,
        alone(TWIN_MIRRORED, "naswot"),
        "OK",
        "",
    )
    details = json.loads(row.details)
    assert (details["count"], details["higher_is_better"]) == ("application", True)
    assert details["precision"] == "float32"
    assert details["units"] > 0
    assert by_key[TWIN, "params"].canonical == TWIN
    dead = by_key[NONE, "naswot"]
    assert (dead.value, dead.status) == (-math.inf, "SINGULAR")
    assert dead.reason.startswith("dead network")


def test_a_second_run_builds_nothing(tmp_path: Path) -> None:
    first = score_many(SPACE, [TWIN, CHAIN, NONE], IMAGES, ("naswot", "params"), store=tmp_path)
    space = Watched()
    second = score_many(space, [TWIN, CHAIN, NONE], IMAGES, ("naswot", "params"), store=tmp_path)
    assert space.built == []
    pd.testing.assert_frame_equal(second.frame, first.frame, check_exact=True)
    assert second.provenance == first.provenance


def test_more_architectures_build_only_those(tmp_path: Path) -> None:
    score_many(SPACE, [TWIN, CHAIN], IMAGES, store=tmp_path)
    space = Watched()
    ranking = score_many(space, [POOL, CHAIN], IMAGES, store=tmp_path)
    assert space.built == [representative(POOL)]
    assert ranking.frame["arch"].tolist() == [POOL, CHAIN]


def test_more_scorers_leave_the_stored_ones_alone(tmp_path: Path) -> None:
    score_many(SPACE, [TWIN, CHAIN], IMAGES, store=tmp_path, precision="float32")
    space = Watched()
    frame = score_many(space, [TWIN, CHAIN], IMAGES, ("params", "naswot"), store=tmp_path, precision="float32").frame
    assert space.built == [TWIN, CHAIN]
    assert frame["naswot"].tolist() == [alone(representative(cell), "naswot") for cell in (TWIN, CHAIN)]
    assert len(read_store(tmp_path)[0]) == 4


def test_a_twin_of_a_stored_cell_builds_nothing(tmp_path: Path) -> None:
    score_many(SPACE, [TWIN], IMAGES, store=tmp_path, precision="float32")
    space = Watched()
    frame = score_many(space, [TWIN_MIRRORED], IMAGES, store=tmp_path, precision="float32").frame
    assert space.built == []
    assert frame["arch"].tolist() == [TWIN_MIRRORED]
    assert frame["naswot"].tolist() == [alone(TWIN_MIRRORED, "naswot")]
    assert [row.arch for row in read_store(tmp_path)[0]] == [TWIN, TWIN_MIRRORED]
    score_many(space, [DEAD_END_3X3], IMAGES, ("naswot", "params"), store=tmp_path, precision="float32")
    space.built.clear()
    score_many(space, [DEAD_END_1X1], IMAGES, ("naswot", "params"), store=tmp_path, precision="float32")
    assert space.built == [DEAD_END_1X1]


def test_failures_are_kept_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = score_many(Watched(broken={representative(CHAIN): ValueError("no")}), [CHAIN], IMAGES, store=tmp_path)
    space = Watched()
    second = score_many(space, [CHAIN], IMAGES, store=tmp_path)
    assert space.built == []
    pd.testing.assert_frame_equal(second.frame, first.frame)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(POOL_OF_CELLS), min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.sampled_from([("naswot",), ("params",), ("params", "naswot")]), min_size=4, max_size=4),
    st.sampled_from([Watched, WatchedCodes]),
)
def test_any_sequence_of_runs_ends_in_the_same_scores(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[list[str]],
    scorers: list[tuple[str, ...]],
    make: type[Watched],
) -> None:
    store = tmp_path_factory.mktemp("store")
    space = make()
    for cells, names in zip(runs, scorers, strict=False):
        frame = score_many(space, cells, IMAGES, names, store=store, precision="float32").frame
        assert frame["arch"].tolist() == list(dict.fromkeys(cells))
        for name in names:
            truth = reference_scores()[name]
            assert frame[name].tolist() == [truth[cell] for cell in frame["arch"]]
    keys = [(row.arch, row.scorer) for row in read_store(store)[0]]
    assert len(keys) == len(set(keys))
    most = Counter(space.built).most_common(1)
    if isinstance(space, WatchedCodes):
        assert all(times == 1 for _, times in most)
        assert len(space.asked) == len({text for (text,) in space.asked})
    else:
        assert most[0][1] <= 2  # a network is built again only for a scorer that came later


def reference_scores() -> dict[str, dict[str, float]]:
    if not _SCORES:
        _SCORES["naswot"] = {cell: alone(representative(cell), "naswot") for cell in POOL_OF_CELLS}
        _SCORES["params"] = {cell: alone(cell, "params") for cell in POOL_OF_CELLS}
    return _SCORES


_SCORES: dict[str, dict[str, float]] = {}


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed=0 there, 1 here"),
        ({"count": "live"}, "count='application' there, 'live' here"),
        ({"precision": "bfloat16"}, "precision='float32' there, 'bfloat16' here"),
        ({"num_classes": 100}, "num_classes=10 there, 100 here"),
        ({"tie_weights": True}, "tie_weights=None there, True here"),
        ({"images": IMAGES[:3]}, "batch=4 there, 3 here; images="),
        ({"images": IMAGES + 1}, "images="),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, changes: dict[str, Any], difference: str) -> None:
    usual = {"images": IMAGES, "scorers": "params", "store": tmp_path, "precision": "float32"}
    score_many(SPACE, [CHAIN], **usual)
    before = read_store(tmp_path)
    space = WatchedCodes()
    with pytest.raises(ZeroscoreError) as found:
        score_many(space, [CHAIN, POOL], **{**usual, **changes})
    assert f"is from other settings: {difference}" in str(found.value)
    assert "\n" not in str(found.value)
    assert not isinstance(found.value, UsageError)
    assert space.built == space.asked == []
    assert read_store(tmp_path) == before


def test_another_torch_is_refused(tmp_path: Path) -> None:
    score_many(SPACE, [CHAIN], IMAGES, "params", store=tmp_path)
    file = tmp_path / "provenance.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "torch": "2.6.0", "device": "NVIDIA H100"}))
    with pytest.raises(ZeroscoreError, match=r"device='NVIDIA H100' there, 'cpu .*; torch='2\.6\.0' there, '"):
        score_many(SPACE, [CHAIN], IMAGES, "params", store=tmp_path)


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_auto_precision_is_the_one_it_stands_for(
    has_bfloat16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precision: Any = processor(monkeypatch, has_bfloat16)
    other: Any = "float32" if has_bfloat16 else "bfloat16"
    score_many(SPACE, [CHAIN], IMAGES, store=tmp_path, precision="auto")
    space = WatchedCodes()
    score_many(space, [CHAIN], IMAGES, store=tmp_path, precision=precision)
    assert space.built == space.asked == []
    with pytest.raises(ZeroscoreError, match=f"precision='{precision}' there, '{other}' here"):
        score_many(space, [CHAIN], IMAGES, store=tmp_path, precision=other)


# --- Ranking


def test_to_pandas_is_a_copy() -> None:
    ranking = ranking_of(naswot=[1.0, 2.0])
    copy = ranking.to_pandas()
    copy["naswot"] = 0.0
    assert ranking.frame["naswot"].tolist() == [1.0, 2.0]


def test_columns() -> None:
    frame = score_many(SPACE, [CHAIN], IMAGES, ("params", "convs")).to_pandas()
    expected = ["arch", "canonical", "params", "convs", "status", "seconds", "params_status", "convs_status"]
    assert list(frame.columns) == expected


def test_top_puts_failures_last() -> None:
    ranking = ranking_of(
        naswot=[1.0, -math.inf, 3.0, math.nan, 3.0, -5.0, math.inf], params=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    )
    assert ranking.top(7)["arch"].tolist() == ["a2", "a4", "a0", "a5", "a1", "a3", "a6"]
    assert ranking.top(2)["arch"].tolist() == ["a2", "a4"]
    assert ranking.top(2).index.tolist() == [0, 1]
    assert ranking.top(3, "params")["arch"].tolist() == ["a6", "a5", "a4"]
    assert len(ranking.top(100)) == 7
    assert len(ranking.top(0)) == 0
    with pytest.raises(UsageError, match="this ranking has no scorer 'flops'; known: naswot, params"):
        ranking.top(1, "flops")


def test_lower_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    add_scorer(monkeypatch, "latency", lambda evidence: float(evidence.params), higher_is_better=False)
    ranking = score_many(SPACE, [CHAIN, POOL, DEAD_END_3X3], IMAGES, ("latency", "params"))
    assert ranking.top(3)["arch"].tolist() == [POOL, CHAIN, DEAD_END_3X3]
    assert ranking.top(3, "params")["arch"].tolist() == [DEAD_END_3X3, CHAIN, POOL]
    assert ranking.frame["latency"].tolist() == ranking.frame["params"].tolist()
    best = ranking.aggregate(["latency"])
    assert best.idxmax() == POOL
    assert best[POOL] == 0
    made_up = ranking_of(latency=[2.0, -math.inf, 1.0, math.nan])
    assert made_up.top(4)["arch"].tolist() == ["a2", "a0", "a1", "a3"]


def mean_ranks(values: list[float]) -> list[float]:
    """Ranks from 1, the worst, ties sharing their mean; failures tie behind everything."""
    comparable = [v if math.isfinite(v) else -math.inf for v in values]
    return [sum(w < v for w in comparable) + (1 + sum(w == v for w in comparable)) / 2 for v in comparable]


SCORES = st.one_of(st.floats(-5, 5).map(round).map(float), st.just(-math.inf), st.just(math.nan))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=12))
def test_aggregate_is_the_sum_of_log_ranks(pairs: list[tuple[float, float]]) -> None:
    naswot, params = (list(column) for column in zip(*pairs, strict=True))
    ranking = ranking_of(naswot=naswot, params=params)
    n = len(pairs)
    expected = [math.log(a / n) + math.log(b / n) for a, b in zip(mean_ranks(naswot), mean_ranks(params), strict=True)]
    found = ranking.aggregate()
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-13, atol=1e-13)
    assert found.index.tolist() == ranking.frame["arch"].tolist()
    assert found.name == "naswot+params"
    one = ranking.aggregate(("params",))
    np.testing.assert_allclose(one.to_numpy(), [math.log(b / n) for b in mean_ranks(params)], rtol=1e-13, atol=1e-13)


def test_aggregate_wants_known_scorers() -> None:
    ranking = ranking_of(naswot=[1.0], params=[2.0])
    with pytest.raises(UsageError, match="this ranking has no scorer 'flops'; known: naswot, params"):
        ranking.aggregate(("naswot", "flops"))
    with pytest.raises(UsageError, match="no scorers to aggregate; known: naswot, params"):
        ranking.aggregate(())


# --- load_ranking


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ranking]:
    folder = tmp_path_factory.mktemp("scores") / "store"
    space = Watched(broken={representative(POOL): RuntimeError('broken, "badly"')})
    return folder, score_many(space, [CHAIN, NONE, POOL, TWIN], IMAGES, ("naswot", "params"), store=folder)


def test_a_ranking_is_loaded_from_its_store(stored: tuple[Path, Ranking]) -> None:
    folder, ranking = stored
    loaded = load_ranking(folder)
    by_arch = loaded.frame.set_index("arch").loc[ranking.frame["arch"]].reset_index()
    pd.testing.assert_frame_equal(by_arch[list(ranking.frame.columns)], ranking.frame, check_exact=True)
    assert set(loaded.scorers) == {"naswot", "params"}
    assert loaded.provenance == ranking.provenance


@pytest.mark.parametrize("name", ["r.parquet", "r.csv", "r.csv.gz"])
def test_a_ranking_is_loaded_from_a_file(stored: tuple[Path, Ranking], tmp_path: Path, name: str) -> None:
    ranking = stored[1]
    assert set(ranking.frame["naswot_status"]) == {"OK", "SINGULAR", "MODEL_ERROR"}
    write_frame(ranking.to_pandas(), tmp_path / name)
    loaded = load_ranking(tmp_path / name)
    pd.testing.assert_frame_equal(loaded.frame, ranking.frame, check_exact=True)
    assert loaded.scorers == ranking.scorers
    pd.testing.assert_frame_equal(loaded.top(4), ranking.top(4), check_exact=True)


def test_a_csv_keeps_every_digit_and_every_zero(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ranking = ranking_of(naswot=(rng.standard_normal(2000) * 10.0 ** rng.integers(-300, 300, 2000)).tolist())
    ranking.frame["arch"] = ranking.frame["canonical"] = [f"{i:08d}" for i in range(2000)]
    write_frame(ranking.frame, tmp_path / "r.csv")
    frame = load_ranking(tmp_path / "r.csv").frame
    assert frame["naswot"].tolist() == ranking.frame["naswot"].tolist()
    assert frame["arch"].tolist() == ranking.frame["arch"].tolist()


def test_a_csv_in_which_everything_failed(tmp_path: Path) -> None:
    ranking = ranking_of(naswot=[math.nan, math.nan], params=[-math.inf, -math.inf])
    write_frame(ranking.frame, tmp_path / "r.csv")
    pd.testing.assert_frame_equal(load_ranking(tmp_path / "r.csv").frame, ranking.frame)


def test_architectures_that_lack_a_score_are_left_out(tmp_path: Path) -> None:
    score_many(SPACE, [CHAIN, POOL], IMAGES, "params", store=tmp_path)
    score_many(SPACE, [POOL], IMAGES, "convs", store=tmp_path)
    assert load_ranking(tmp_path).frame["arch"].tolist() == [POOL]


def test_files_that_are_no_ranking(tmp_path: Path) -> None:
    header = "arch,canonical,naswot,status,seconds,naswot_status\n"
    texts = {
        "": "cannot read scores from",
        "arch,score\na,1\n": "is no ranking: it lacks column(s) canonical, status, seconds",
        "arch,canonical,status,seconds\na,a,OK,1\n": "is no ranking: it lacks column(s) <scorer>_status",
        "arch,canonical,status,seconds,naswot_status\na,a,OK,1,OK\n": "is no ranking: it lacks column(s) naswot",
        header: "holds no scores",
        f"{header}a,a,high,OK,1,OK\n": "is no ranking: column 'naswot' does not hold numbers",
        f"{header}a,a,1,OK,long,OK\n": "is no ranking: column 'seconds' does not hold numbers",
    }
    file = tmp_path / "r.csv"
    for text, message in texts.items():
        file.write_text(text)
        with pytest.raises(ZeroscoreError) as found:
            load_ranking(file)
        assert message in str(found.value)
        assert str(file) in str(found.value)
        assert "\n" not in str(found.value)
    for name, content in {"b.csv": b"\xff\xfe\x00arch", "b.parquet": b"PAR1PAR1", "c.parquet": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ZeroscoreError, match="cannot read scores from") as found:
            load_ranking(tmp_path / name)
        assert "\n" not in str(found.value)


def test_places_without_scores(tmp_path: Path) -> None:
    for place in (tmp_path / "absent", tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="no scores at ") as found:
            load_ranking(place)
        assert "\n" not in str(found.value)
    with pytest.raises(ZeroscoreError, match=r"is no score store: it has no provenance\.json"):
        load_ranking(tmp_path)
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(ZeroscoreError, match="holds no scores yet"):
        load_ranking(tmp_path)


def test_a_store_of_a_scorer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        add_scorer(patch, "mine", lambda evidence: 1.0)
        score_many(SPACE, [CHAIN], IMAGES, "mine", store=tmp_path)
    with pytest.raises(UsageError, match="unknown scorer 'mine'"):
        load_ranking(tmp_path)


# --- evaluate


@pytest.fixture(scope="module")
def judged(shared: Path) -> tuple[Any, pd.DataFrame, set[str]]:
    """The real table, 600 of its rows with made-up scores, and the architectures that a live path makes."""
    file = shared / "nb201_accuracy.csv.gz"
    rng = np.random.default_rng(7)
    rows = pd.read_csv(file).sample(600, random_state=7).reset_index(drop=True)
    noisy = (rows["c10_test_200_nats"] + rng.normal(0, 4, len(rows))).round(1)
    rows["score"] = noisy.where(rng.random(len(rows)) > 0.1, -math.inf)
    rows.loc[[3, 50], "score"] = math.nan
    proxies = pd.read_csv(shared / "nb201_zc_proxies_c10.csv.gz")
    live = set(pd.read_csv(file).set_index("idx").loc[proxies["idx"], "arch"])
    return load_table(file), rows, live


def made_up_ranking(rows: pd.DataFrame, name: str = "naswot", sign: int = 1) -> Ranking:
    ranking = ranking_of(**{name: (sign * rows["score"]).where(np.isfinite(rows["score"]), rows["score"]).tolist()})
    ranking.frame["arch"] = ranking.frame["canonical"] = rows["arch"]
    return ranking


def expected_measures(rows: pd.DataFrame, column: str, policy: str) -> dict[str, float]:
    failed = ~np.isfinite(rows["score"])
    rows = rows[~failed] if policy == "drop" else rows.assign(score=rows["score"].where(~failed, -1e9))
    score, accuracy = rows["score"].to_numpy(), rows[column].to_numpy()
    top = accuracy >= np.sort(accuracy)[len(accuracy) - len(accuracy) // 10]
    return {
        "kendall": stats.kendalltau(score, accuracy).statistic,
        "spearman": stats.spearmanr(score, accuracy).statistic,
        "top_decile": stats.spearmanr(score[top], accuracy[top]).statistic,
        "regret@1": accuracy.max() - accuracy.mean(),
        "n": len(rows),
        "failed": int(failed.sum()),
    }


@pytest.mark.parametrize(
    ("dataset", "split", "column"),
    [("cifar10", "test", "c10_test_200_nats"), ("cifar100", "valid", "c100_valid_200")],
)
def test_evaluate_against_scipy(judged: Any, dataset: str, split: str, column: str) -> None:
    table, rows, live = judged
    frame = evaluate(
        made_up_ranking(rows), table, SPACE, dataset=dataset, split=split, epochs=200, best_of=(1, 10, 10_000)
    )
    columns = ["measure", "value", "n", "population", "neg_inf", "failed", "note"]
    assert list(frame.columns) == columns
    assert not frame["measure"].eq("regret@10000").any()
    populations = {"all": rows, "live": rows[rows["arch"].isin(live)]}
    assert 300 < len(populations["live"]) < 400
    assert len(frame) == 2 * 2 * 6
    for (population, policy), found in frame.groupby(["population", "neg_inf"]):
        expected = expected_measures(populations[str(population)], column, str(policy))
        values = found.set_index("measure")["value"]
        for name in ("kendall", "spearman", "top_decile", "regret@1"):
            assert values[name] == pytest.approx(expected[name], rel=1e-12), (population, policy, name)
        assert set(found["n"]) == {expected["n"]}
        assert set(found["failed"]) == {expected["failed"]}
        assert 0 < values["regret@10"] < values["regret@1"]


def test_evaluate_best_of_all_takes_the_top(judged: Any) -> None:
    table, rows, _ = judged
    good = rows[np.isfinite(rows["score"])].drop_duplicates("score").reset_index(drop=True)
    accuracy = good["c10_test_200_nats"]
    frame = evaluate(made_up_ranking(good), table, SPACE, best_of=(len(good),), neg_inf=("drop",), epochs=200)
    found = frame[(frame["population"] == "all") & (frame["measure"] == f"regret@{len(good)}")]["value"].item()
    assert found == pytest.approx(accuracy.max() - accuracy[good["score"].idxmax()], abs=1e-9)


def test_evaluate_turns_lower_is_better_around(judged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table, rows, _ = judged
    add_scorer(monkeypatch, "latency", lambda evidence: 0.0, higher_is_better=False)
    upright = evaluate(made_up_ranking(rows), table, SPACE)
    turned = evaluate(made_up_ranking(rows, "latency", -1), table, SPACE, scorer="latency")
    pd.testing.assert_frame_equal(upright, turned)


def test_evaluate_with_nothing_alive(judged: Any) -> None:
    table, rows, live = judged
    dead = rows[~rows["arch"].isin(live)].head(40).reset_index(drop=True)
    assert set(evaluate(made_up_ranking(dead), table, SPACE)["population"]) == {"all"}


def test_evaluate_what_cannot_be_evaluated(judged: Any) -> None:
    table, rows, _ = judged
    ranking = made_up_ranking(rows.head(50))
    with pytest.raises(UsageError, match="this ranking has no scorer 'params'; known: naswot"):
        evaluate(ranking, table, SPACE, scorer="params")
    with pytest.raises(UsageError, match="has no accuracy, mnist"):
        evaluate(ranking, table, SPACE, dataset="mnist")
    with pytest.raises(UsageError, match="unknown -inf policy 'first'; known: drop, last"):
        evaluate(ranking, table, SPACE, neg_inf=("first",))  # type: ignore[arg-type]
    failed = made_up_ranking(rows.head(50).assign(score=-math.inf))
    with pytest.raises(ZeroscoreError, match="none of the 50 scores is finite"):
        evaluate(failed, table, SPACE)
    unknown = made_up_ranking(rows.head(50).assign(arch=[NONE.replace("none~0", "skip~0")] * 50))
    with pytest.raises(ZeroscoreError, match="is not among the 15625 of table"):
        evaluate(unknown, table, SPACE)


# --- score_function


def test_a_score_function_remembers_classes() -> None:
    space = Watched()
    score = score_function(space, IMAGES, seed=2, precision="float32")
    first, again, twin = (score(SPACE.parse(cell)) for cell in (TWIN, TWIN, TWIN_MIRRORED))
    assert space.built == [TWIN_MIRRORED]
    assert first is again is twin
    assert first.value == alone(TWIN_MIRRORED, "naswot", seed=2)
    assert first.seconds > 0
    params = score_function(space, IMAGES, "params")
    assert params(SPACE.parse(TWIN)).value == params(SPACE.parse(TWIN_MIRRORED)).value == alone(TWIN, "params")
    assert space.built == [TWIN_MIRRORED, TWIN, TWIN_MIRRORED]


def test_a_score_function_asks_for_the_codes_of_a_class_once() -> None:
    space = WatchedCodes()
    score = score_function(space, IMAGES, seed=2, precision="float32")
    first, again, twin = (score(SPACE.parse(cell)) for cell in (TWIN, TWIN, TWIN_MIRRORED))
    assert space.asked == [[TWIN_MIRRORED]]
    assert space.built == []
    assert first is again is twin
    assert first.value == alone(TWIN_MIRRORED, "naswot", seed=2)


def test_a_score_function_fails_like_score_many() -> None:
    score = score_function(Watched(broken={representative(CHAIN): RuntimeError("no")}), IMAGES, precision="float32")
    assert str(score(SPACE.parse(CHAIN)).status) == "MODEL_ERROR: RuntimeError: no"
    assert score(SPACE.parse(NONE)).status.code is Code.SINGULAR
    with pytest.raises(UsageError, match="unknown scorer"):
        score_function(SPACE, IMAGES, "nawsot")
    with pytest.raises(UsageError, match="images hold a batch of 1"):
        score_function(SPACE, IMAGES[:1])


def test_a_store_is_read_for_the_scorers_asked_for(tmp_path: Path) -> None:
    score_many(SPACE, [CHAIN, TWIN], IMAGES, ("params", "convs"), store=tmp_path / "s")
    score_many(SPACE, [CHAIN], IMAGES, ("naswot",), store=tmp_path / "s")
    assert list(zs.load_ranking(tmp_path / "s").frame["arch"]) == [CHAIN]
    read = zs.load_ranking(tmp_path / "s", ("convs", "params"))
    assert (list(read.frame["arch"]), read.scorers) == ([CHAIN, TWIN], ("convs", "params"))
    read.to_pandas().to_csv(tmp_path / "s.csv", index=False)
    assert zs.load_ranking(tmp_path / "s.csv", ("params",)).scorers == ("params",)
    for path in (tmp_path / "s", tmp_path / "s.csv"):
        with pytest.raises(UsageError, match="has no scores by 'flops'; it has"):
            zs.load_ranking(path, ("flops",))


# --- engines


def test_another_engine_may_answer_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []

    def backwards(settings: Settings, tasks: Iterable[Task]) -> Iterator[tuple[Task, tuple[Score, ...]]]:
        asked.append(settings)
        return reversed(list(local(settings, tasks)))

    monkeypatch.setitem(ENGINES._items, "backwards", backwards)
    precision = processor(monkeypatch, True)
    seen: list[Progress] = []
    cells = [CHAIN, TWIN, POOL]
    scorers = ("naswot", "params")
    found = score_many(SPACE, cells, IMAGES, scorers, engine="backwards", progress=seen.append, precision="auto")
    usual = score_many(SPACE, cells, IMAGES, scorers, engine="local")
    pd.testing.assert_frame_equal(found.frame.drop(columns="seconds"), usual.frame.drop(columns="seconds"))
    assert seen[1].latest == POOL
    assert seen[-1].done == 3
    assert [(s.space, s.count, s.seed, s.precision, s.num_classes, s.tie_weights) for s in asked] == [
        (SPACE, "application", 0, precision, 10, False)
    ]
    with pytest.raises(UsageError, match=r"unknown engine 'forwards'; known: .*local"):
        score_many(SPACE, cells, IMAGES, engine="forwards")
