from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscore.tables import FrameTable, load_table
from zeroscore.tables.frame import join_frames, open_frame, read_frame
from zeroscore.types import UsageError, ZeroscoreError

from .conftest import one_line


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as text:
        return list(csv.DictReader(text))


@pytest.fixture(scope="module")
def accuracy(shared: Path) -> FrameTable:
    return open_frame(shared / "nb201_accuracy.csv.gz", "nb201_accuracy")


def test_every_number_of_a_real_file(shared: Path, accuracy: FrameTable) -> None:
    rows = rows_of(shared / "nb201_accuracy.csv.gz")
    assert len(accuracy) == len(rows) == 15_625
    assert list(accuracy) == [row["arch"] for row in rows]
    for column in rows[0]:
        if column != "arch":
            expected = [float(row[column] or "nan") for row in rows]
            np.testing.assert_array_equal(accuracy.values(column).to_numpy(), expected)


def test_questions_to_a_real_file(shared: Path, accuracy: FrameTable) -> None:
    rows = rows_of(shared / "nb201_accuracy.csv.gz")
    for row in rows[:: len(rows) // 50]:
        arch = row["arch"]
        assert arch in accuracy
        assert accuracy.accuracy(arch) == float(row["c10_test_200_nats"])
        assert accuracy.accuracy(arch, "cifar10", "valid") == float(row["c10v_valid_200"])
        assert accuracy.accuracy(arch, "cifar10", "valid", 12) == float(row["c10_valid_12"])
        assert accuracy.accuracy(arch, "cifar10", epochs=12) == float(row["c10_test_12"])
        assert accuracy.accuracy(arch, "cifar10-valid") == float(row["c10v_test_200"])
        assert accuracy.accuracy(arch, "cifar100") == float(row["c100_test_200"])
        assert accuracy.accuracy(arch, "cifar100", variant="nats") == float(row["c100_test_200_nats"])
        assert accuracy.accuracy(arch, "ImageNet16-120", "train") == float(row["in16_train_200"])
        assert accuracy.accuracy(arch, variant="seed0") == float(row["c10_test_200_seed0"])


def test_published_maxima(accuracy: FrameTable) -> None:
    best = {"cifar10": 94.373, "cifar100": 73.513, "ImageNet16-120": 47.311}
    for dataset, expected in best.items():
        column = accuracy.column("accuracy", dataset, "test", 200)
        assert round(float(accuracy.values(column).max()), 3) == expected


def test_an_empty_cell_is_an_error_that_names_it(shared: Path, accuracy: FrameTable) -> None:
    row = next(row for row in rows_of(shared / "nb201_accuracy.csv.gz") if not row["c10_test_200_seed1"])
    with pytest.raises(ZeroscoreError) as caught:
        accuracy.accuracy(row["arch"], variant="seed1")
    for word in ("nb201_accuracy", "c10_test_200_seed1", row["arch"]):
        assert word in one_line(caught.value)
    assert math.isnan(accuracy.values("c10_test_200_seed1", [row["arch"]]).iloc[0])


def test_cost_estimate_joins_by_idx_and_is_labelled(shared: Path) -> None:
    parts = [shared / "nb201_cost_estimated.csv.gz", shared / "nb201_accuracy.csv.gz"]
    table = load_table(parts[0], parts[1], name="nb201")
    assert table.name == "nb201"
    assert len(table) == 15_625
    arch_of = {row["idx"]: row["arch"] for row in rows_of(parts[1])}
    for row in rows_of(parts[0])[::500]:
        arch = arch_of[row["idx"]]
        assert table.cost(arch) == float(row["c10_12_train_seconds_est"])
        assert table.cost(arch, "ImageNet16-120", 12) == float(row["in16_12_train_seconds_est"])
        if row["c10_12_train_seconds_real"]:
            assert table.cost(arch, variant="real") == float(row["c10_12_train_seconds_real"])
    assert table.column("train_seconds").estimated
    assert not table.column("train_seconds", variant="real").estimated
    described = table.describe()
    assert (
        "c10_12_train_seconds_est: train_seconds, cifar10, 12 epochs, est (an estimate, not a measurement)" in described
    )
    assert (
        "c10_12_train_seconds_real: train_seconds, cifar10, 12 epochs, real; 1000 of 15625 architectures" in described
    )
    assert str(parts[0]) in described


def test_measured_cost_where_it_is_complete(shared: Path) -> None:
    table = load_table(shared / "nb201_cost_1000.csv.gz")
    row = rows_of(shared / "nb201_cost_1000.csv.gz")[7]
    assert table.column("train_seconds").column == "c10_12_train_seconds"
    assert table.cost(row["arch"]) == float(row["c10_12_train_seconds"])
    assert table.cost(row["arch"], epochs=200) == float(row["c10_200_train_seconds"])
    assert table.cost(row["arch"], "cifar100", kind="test_seconds") == float(row["c100_12_test_seconds"])
    assert table.accuracy(row["arch"]) == float(row["c10_200_test_acc"])


def test_all_real_files_in_one_table(shared: Path) -> None:
    files = sorted(shared.glob("nb201_*.csv.gz"))
    table = load_table(*files)
    assert isinstance(table, FrameTable)
    assert len(table) == 15_625
    latency = rows_of(shared / "nb201_hw_latency_energy.csv.gz")[3]
    nwot = rows_of(shared / "nb201_zc_proxies_c10.csv.gz")[3]
    arch_of = {row["idx"]: row["arch"] for row in rows_of(shared / "nb201_accuracy.csv.gz")}
    arch = arch_of[latency["idx"]]
    assert table.cost(arch, kind="latency", variant="pixel3") == float(latency["pixel3_latency_c10"])
    assert table.cost(arch, "cifar100", kind="energy", variant="fpga") == float(latency["fpga_energy_c100"])
    with pytest.raises(UsageError, match="edgegpu, edgetpu, eyeriss, fpga, pixel3, raspi4"):
        table.cost(arch, kind="latency")
    assert table.values("nwot", [arch_of[nwot["idx"]]]).tolist() == [float(nwot["nwot"])]
    assert table.values("nwot").notna().sum() == 9_445
    assert "nwot" in table.other
    assert "net" in table.other
    # One run of 1,000 architectures has no variant in its name, but holes here; the mean over seeds answers for all.
    assert table.column("accuracy", "cifar10", "test", 200).column == "c10_test_200_nats"


def test_size_space_file(shared: Path) -> None:
    table = load_table(shared / "nats_sss_cifar10.csv.gz")
    assert len(table) == 32_768
    assert table.space == "nats_size"
    assert table.accuracy("16:16:16:16:24") == 88.16
    with pytest.raises(UsageError, match="cifar10_acc"):
        table.accuracy("16:16:16:16:24", epochs=90)


def test_architectures_are_looked_up_by_their_text(tmp_path: Path) -> None:
    class Arch:
        def __str__(self) -> str:
            return "00000000"

    table = open_frame(write(tmp_path / "t.csv", "arch,c10_test_1", "00000000,1.5", "0,2.5"), "t")
    assert table.accuracy(Arch()) == 1.5
    assert table.accuracy(0) == 2.5
    assert Arch() in table
    assert "00" not in table
    assert list(table) == ["00000000", "0"]
    with pytest.raises(ZeroscoreError, match="architecture '00' is not among the 2 of table 't'"):
        table.accuracy("00")


def test_values_and_frame_keep_the_order_asked_for(tmp_path: Path) -> None:
    table = open_frame(write(tmp_path / "t.csv", "arch,c10_test_1,note,n", "a,1,x,1", "b,,y,2", "c,3,z,3"), "t")
    values = table.values(table.column(), ["c", "a", "c", "b"])
    assert values.index.tolist() == ["c", "a", "c", "b"]
    np.testing.assert_array_equal(values.to_numpy(), [3.0, 1.0, 3.0, np.nan])
    assert table.values("n").tolist() == [1.0, 2.0, 3.0]
    assert table.frame(["b", "a"])["note"].tolist() == ["y", "x"]
    assert table.other == ("note", "n")
    copy = table.frame()
    copy.loc["a", "c10_test_1"] = 99.0
    assert table.accuracy("a") == 1.0
    for ask in (lambda: table.values("n", ["a", "nope"]), lambda: table.frame(["nope"])):
        with pytest.raises(ZeroscoreError, match="'nope'"):
            ask()
    with pytest.raises(UsageError, match="no column 'm'; it has c10_test_1, note, n"):
        table.values("m")
    with pytest.raises(UsageError, match="'note' holds text"):
        table.values("note")


BAD = {
    "empty file": ("", ["Empty CSV"]),
    "header only": ("arch,c10_test_1\n", ["no rows"]),
    "no arch": ("cell,c10_test_1\na,1\n", ["no column 'arch'", "cell, c10_test_1"]),
    "duplicate arch": ("arch,c10_test_1\na,1\nb,2\na,3\n", ["arch 'a'", "row 1", "row 3"]),
    "duplicate idx": ("idx,c10_test_1\n1,1\n2,2\n2,3\n", ["idx '2.0'", "row 2", "row 3"]),
    "empty arch": ("arch,c10_test_1\na,1\n,2\n", ["'arch' is empty in row 2"]),
    "not a number": ("arch,c10_test_1\na,\nb,3\nc,ninety\n", ["'c10_test_1'", "'ninety'", "row 3"]),
    "infinite": ("arch,c10_1_train_seconds\na,1\nb,inf\n", ["'c10_1_train_seconds'", "inf", "row 2", "finite"]),
    "above 100": ("arch,c10_test_1\na,1\nb,100.5\n", ["'c10_test_1'", "100.5", "row 2", "percent"]),
    "below 0": ("arch,c10_test_1\na,-0.1\n", ["'c10_test_1'", "-0.1", "row 1", "percent"]),
    "infinite accuracy": ("arch,c10_test_1\na,inf\n", ["inf", "row 1", "percent"]),
    "short row": ("arch,c10_test_1,c10_test_2\na,1,2\nb,1\n", ["Expected 3 columns, got 2"]),
    "long row": ("arch,c10_test_1\na,1\nb,1,2\n", ["Expected 2 columns, got 3"]),
    "column twice": ("arch,c10_test_1,c10_test_1\na,1,2\n", ["column 'c10_test_1' is there twice"]),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=list(BAD))
def test_bad_csv(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ZeroscoreError) as caught:
        read_frame(path)
    for word in (str(path), *words):
        assert word in one_line(caught.value)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"arch,c10_test_1\n\xff\xfe,1\n")
    with pytest.raises(ZeroscoreError, match="UTF8"):
        read_frame(path)


def test_file_not_there(tmp_path: Path) -> None:
    for name in ("gone.csv", "gone.parquet"):
        with pytest.raises(ZeroscoreError) as caught:
            read_frame(tmp_path / name)
        assert name in one_line(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40) | st.text(st.sampled_from('ab1.,-\n"'), max_size=40).map(str.encode))
def test_anything_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_bytes(b"arch,c10_test_1\na,1\n" + data)
    try:
        frame = read_frame(path).frame
    except ZeroscoreError as error:
        refusal = one_line(error)
    else:
        assert frame["arch"].is_unique
        assert frame["c10_test_1"].dropna().between(0, 100).all()
        return
    assert str(path) in refusal


def csv_gz(frame: pd.DataFrame) -> bytes:
    return gzip.compress(frame.to_csv(index=False).encode(), mtime=0)


def parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


@pytest.mark.parametrize(("suffix", "encode"), [(".csv.gz", csv_gz), (".parquet", parquet)])
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, encode: Callable[[pd.DataFrame], bytes], share: float
) -> None:
    frame = pd.DataFrame({"arch": [f"a{i}" for i in range(300)], "c10_test_1": np.arange(300) / 10})
    path = tmp_path_factory.mktemp("truncated") / f"t{suffix}"
    data = encode(frame)
    path.write_bytes(data)
    assert read_frame(path).frame["c10_test_1"].tolist() == frame["c10_test_1"].tolist()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ZeroscoreError) as caught:
        read_frame(path)
    assert str(path) in one_line(caught.value)


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters='\r\n"\x00', exclude_categories=["Cs", "Cc"]), min_size=1
)
NULLS = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL"}
NULLS |= {"NaN", "n/a", "nan", "null"}


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(TEXT.filter(lambda text: text not in NULLS), st.none() | st.floats(0, 100), min_size=1, max_size=8),
    st.sampled_from(["csv", "csv.gz", "parquet"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, float | None], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("roundtrip") / f"t.{suffix}"
    if suffix == "parquet":
        columns = {"arch": pa.array(list(rows), pa.string()), "c10_test_9": pa.array(rows.values(), pa.float64())}
        pa_parquet.write_table(pa.table(columns), path)
    else:
        with (gzip.open if suffix == "csv.gz" else open)(path, "wt", encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            writer.writerow(["arch", "c10_test_9"])
            writer.writerows([arch, "" if value is None else repr(value)] for arch, value in rows.items())
    table = open_frame(path, "t")
    assert list(table) == list(rows)
    for arch, value in rows.items():
        if value is None:
            with pytest.raises(ZeroscoreError):
                table.accuracy(arch)
        else:
            assert table.accuracy(arch) == value


def test_parquet_in_the_forms_pandas_writes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"arch": ["a", "b"], "c10_test_1": np.float32([1.5, 2.5]), "x": [1, 2]})
    frame.set_index("arch").to_parquet(tmp_path / "index.parquet")
    frame.astype({"arch": "category"}).to_parquet(tmp_path / "category.parquet")
    frame.assign(c10_test_1=["1.5", "2.5"]).to_parquet(tmp_path / "text.parquet")
    for name in ("index", "category", "text"):
        table = open_frame(tmp_path / f"{name}.parquet", name)
        assert list(table) == ["a", "b"]
        assert table.accuracy("b") == 2.5


def frame(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_join_of_files_that_split_the_architectures() -> None:
    left = frame(arch=["b", "a"], c10_test_1=[1.0, 2.0])
    right = frame(arch=["c", "a"], c10_test_1=[3.0, np.nan], c10_test_2=[4.0, 5.0])
    joined = join_frames([("left", left), ("right", right)])
    assert joined.index.tolist() == ["b", "a", "c"]
    np.testing.assert_array_equal(joined["c10_test_1"], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(joined["c10_test_2"], [np.nan, 5.0, 4.0])


def test_join_by_idx_leaves_unnamed_rows_out() -> None:
    named = frame(arch=["a", "b", "c"], idx=[5.0, np.nan, 7.0], c10_test_1=[1.0, 2.0, 3.0])
    numbered = frame(idx=[7.0, 6.0, 5.0], x=[70, 60, 50])
    for order in ([("n", named), ("m", numbered)], [("m", numbered), ("n", named)]):
        joined = join_frames(order)
        assert joined.index.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(joined["x"], [50, np.nan, 70])


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([frame(idx=[1.0], x=[1])], ["no column 'arch' in f0"]),
        ([frame(arch=["a"], x=[1]), frame(idx=[1.0], y=[1])], ["f1", "no table with 'arch' has 'idx'"]),
        ([frame(arch=["a"], idx=[2.0]), frame(idx=[1.0], y=[1])], ["f1", "no 'idx' of it"]),
        ([frame(arch=["a", "b"], idx=[1.0, 1.0]), frame(idx=[1.0], y=[1])], ["f1", "one 'idx' to several"]),
        ([frame(arch=["a"], x=[1]), frame(arch=["a"], x=[2])], ["f1", "'x' of 'a' is", "drop or rename"]),
        ([frame(arch=["a"], idx=[1.0]), frame(arch=["a"], idx=[2.0])], ["f1", "'idx' of 'a'"]),
    ],
)
def test_join_of_what_does_not_fit(frames: list[pd.DataFrame], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        join_frames([(f"f{place}", part) for place, part in enumerate(frames)])
    for word in words:
        assert word in one_line(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "head.csv").write_bytes(b"\xff\xfe,c\n1,2\n")
    arch = pa.array([b"\xff\xfe"], pa.binary())
    pa_parquet.write_table(pa.table({"arch": arch, "c10_test_1": [50.0]}), tmp_path / "arch.parquet")
    pa_parquet.write_table(pa.table({"arch": [["a"]], "c10_test_1": [50.0]}), tmp_path / "list.parquet")
    for name in ("head.csv", "arch.parquet", "list.parquet"):
        with pytest.raises(ZeroscoreError) as caught:
            read_frame(tmp_path / name)
        assert name in one_line(caught.value)


def test_whole_numbers_that_a_float_rounds(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"arch,c10_params\na,{2**53 + 1}\n")
    assert read_frame(tmp_path / "t.csv").frame["c10_params"].tolist() == [float(2**53)]


ONE, OTHER = ("0110/0001/0001/0000:conv3x3,conv1x1", "0110/0001/0001/0000:conv1x1,conv3x3")


def test_one_cell_in_other_words_joins(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(f'arch,c10_test_108\n"{ONE}",90\n')
    (tmp_path / "valid.csv").write_text(f'arch,c10_valid_108\n"{OTHER}",80\n')
    table = load_table(tmp_path / "test.csv", tmp_path / "valid.csv")
    assert list(table) == [ONE]
    for text in (ONE, OTHER):
        assert (table.accuracy(text), table.accuracy(text, split="valid")) == (90, 80)


def test_one_cell_twice_in_other_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'arch,c10_test_108\n"{ONE}",90\n"{OTHER}",10\n')
    with pytest.raises(ZeroscoreError, match=f"'{ONE}' in row 1 and '{OTHER}' in row 2 are one cell"):
        load_table(tmp_path / "t.csv")


def test_a_column_called_hash_may_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'arch,c10_test_108,hash\n"{ONE}",90,7\n')
    assert load_table(tmp_path / "t.csv").accuracy(OTHER) == 90
