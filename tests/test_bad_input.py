"""Bad input: one line that names the thing, the value and what to do; the right exit code; and nothing lost."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import os
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import zeroscore as zs
from golden.harness import zeroscore

SPACE = zs.load_space("nasbench201")
GOOD = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"
NOISE = zs.load_images("noise", batch=4, shape=(3, 8, 8))

USERS_MODELS = """
import torch
from torch import nn

def net(*layers):
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

class Raises(nn.Module):
    def forward(self, x):
        raise RuntimeError("the first\\nand the second line")

class Spread(nn.Module):
    def __init__(self):
        super().__init__()
        self.here, self.there = nn.Linear(2, 2), nn.Linear(2, 2, device="meta")

def fine(): return net(nn.ReLU())
def linear(): return net()
def raises(): return Raises()
def broken(): raise ValueError("the first\\nand the second line")
def meta(): return fine().to("meta")
def spread(): return Spread()
def lazy(): return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())
def infinite():
    model = fine()
    nn.init.constant_(model[-1].weight, float("inf"))
    return model
def nothing(): return None
def needs(argument): return fine()
"""


class Payload:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that can be wrong in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROSCORE_HOME", "home")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "users_models", raising=False)
    Path("users_models.py").write_text(USERS_MODELS)
    Path("file.txt").write_text("text\n")

    pixels = np.random.default_rng(0).integers(256, size=(9, 8, 8, 3), dtype=np.uint8)
    floats = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    with_nan, with_inf = floats.copy(), floats.copy()
    with_nan[4, 1, 2, 3], with_inf[5, 0, 0, 0] = np.nan, np.inf
    for name, array in {
        "pixels": pixels,
        "duplicates": pixels[[0, 1, 0, 1, 0, 1, 0, 1, 0]],
        "nan": with_nan,
        "inf": with_inf,
        "integers": pixels.astype(np.int64),
        "flat": pixels.reshape(9, -1),
        "five_channels": np.ones((9, 5, 8, 8), np.float32) * np.arange(9, dtype=np.float32)[:, None, None, None],
        "empty": pixels[:0],
        "single": pixels[:1],
    }.items():
        np.savez(f"{name}.npz", x=array)
    np.savez("labels.npz", y=np.arange(9))
    Path("truncated.npz").write_bytes(Path("pixels.npz").read_bytes()[:-300])
    Path("pictures").mkdir()
    Path("folder.csv").mkdir()

    table = "arch,c10_test_200\n" + "".join(f"{arch},90.5\n" for _, arch in zip(range(500), SPACE, strict=False))
    Path("table.csv").write_text(table)
    Path("holes.csv").write_text(f"arch,c10_test_200,c10_valid_12\n{GOOD},,80\n")
    Path("cut.csv").write_text(table[: table.rindex("|none~0|")])
    Path("cut.csv.gz").write_bytes(gzip.compress(table.encode())[:-200])
    pd.read_csv("table.csv").to_parquet("whole.parquet")
    Path("cut.parquet").write_bytes(Path("whole.parquet").read_bytes()[:-100])
    Path("cut.tfrecord").write_bytes(b"\x10" + bytes(11) + b"cut")
    Path("twice.csv").write_text(f"arch,c10_test_200\n{GOOD},80\n{GOOD},80\n")
    Path("more.csv").write_text(f"arch,c10_test_200\n{GOOD},101\n")
    Path("sizes.csv").write_text("channels,c10_test_90,c10_valid_12\n8:8:8:8:8,80,80\n")
    Path("names.csv").write_text("arch,c10_test_200\na,80\n")
    Path("ranking.csv").write_text(f"arch,canonical,naswot,naswot_status,status,seconds\n{GOOD},{GOOD},80,OK,OK,0.5\n")
    Path("no_arch.csv").write_text("name,c10_test_200\na,90\n")
    Path("stranger.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(Payload())))
    Path("NATS-tss-v1_0-3ffb9.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(Payload())))
    Path("not_a_ranking.csv").write_text("a,b\n1,2\n")
    return tmp_path


WRONG_CELLS = {
    "nothing": ("", "cannot tell what model"),
    "blank": (" ", "1 node(s) separated by '+', expected 3"),
    "a word": ("resnet", "1 node(s) separated by '+', expected 3"),
    "one node": ("|none~0|", "1 node(s) separated by '+', expected 3"),
    "two nodes": ("|none~0|+|none~0|none~1|", "2 node(s) separated by '+', expected 3"),
    "four nodes": (f"{GOOD}+|none~0|none~1|none~2|none~3|", "4 node(s) separated by '+', expected 3"),
    "no bar before": (GOOD[1:], "node 1 is 'nor_conv_3x3~0|', expected it between bars"),
    "no bar behind": (GOOD[:-1], "node 3 is '|none~0|none~1|nor_conv_1x1~2', expected it between bars"),
    "an empty node": ("||+|none~0|none~1|+|none~0|none~1|none~2|", "edge '' of node 1"),
    "no node at all": ("|none~0|++|none~0|none~1|none~2|", "node 2 is '', expected it between bars"),
    "an edge too few": ("|none~0|+|none~0|+|none~0|none~1|none~2|", "node 2 has 1 edge(s), expected 2"),
    "an edge too many": ("|none~0|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "node 1 has 2 edge(s), expected 1"),
    "an unknown operation": (
        GOOD.replace("none~0", "conv~0"),
        "unknown operation 'conv' on edge 0->2; known: avg_pool",
    ),
    "another case": (GOOD.replace("none~0", "None~0"), "unknown operation 'None'"),
    "a darts operation": (GOOD.replace("none~0", "sep_conv_3x3~0"), "unknown operation 'sep_conv_3x3'"),
    "no source": (GOOD.replace("none~0", "none"), "edge 'none' of node 2 is not written 'operation~source'"),
    "no operation": (GOOD.replace("none~0", "~0"), "unknown operation ''"),
    "two sources": (GOOD.replace("none~0", "none~0~1"), "edge 'none~0~1' of node 2"),
    "the wrong source": (GOOD.replace("none~0", "none~1"), "edge 1 of node 2 comes from '1', expected 0"),
    "a source later on": (GOOD.replace("none~0", "none~2"), "edge 1 of node 2 comes from '2', expected 0"),
    "a negative source": (GOOD.replace("none~0", "none~-1"), "edge 1 of node 2 comes from '-1', expected 0"),
    "a source in words": (GOOD.replace("none~0", "none~x"), "edge 1 of node 2 comes from 'x', expected 0"),
    "another separator": (GOOD.replace("+", "-"), "1 node(s) separated by '+', expected 3"),
    "a blank inside": (GOOD.replace("+|", "+ |", 1), "node 2 is ' |none~0|none~1|', expected it between bars"),
    "two lines": (GOOD.replace("+", "+\n", 1), "expected it between bars"),
    "another alphabet": (GOOD.replace("none~0", "поле~0"), "unknown operation 'поле'"),
    "without end": (GOOD * 500, "node(s) separated by '+', expected 3"),
}


@pytest.mark.parametrize("case", WRONG_CELLS)
def test_a_wrong_cell(case: str) -> None:
    cell, words = WRONG_CELLS[case]
    ran = zeroscore("score", f"nasbench201:{cell}")
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint
    assert len(ran.complaint) < 400


OTHER_SPACES = {
    "a cycle": (
        "nasbench101:0110/0011/0101/0000:conv3x3,conv3x3",
        "nasbench101 matrix has a cycle: 1 -> 2 -> 1",
    ),
    "cut off": ("nasbench101:010/000/000:conv3x3", "nasbench101 cell has no path from input (vertex 0) to output"),
    "an operation of another space": (
        "nasbench101:010/001/000:sep_conv_3x3",
        "unknown nasbench101 operation 'sep_conv_3x3' at vertex 1; known: conv3x3-bn-relu, conv1x1-bn-relu, maxpool3x3",
    ),
    "an unknown operation of a genotype": (
        "darts:Genotype(normal=[('sep_conv_9x9', 0), ('skip_connect', 1)], normal_concat=[2], "
        "reduce=[('skip_connect', 0), ('skip_connect', 1)], reduce_concat=[2])",
        "unknown operation 'sep_conv_9x9' at node 2 of normal; known: none, max_pool_3x3, ",
    ),
    "code": ("darts:Genotype(normal=__import__('os').mkdir('unpickled'))", "is no list, name or number"),
    "a layer too many": ("nas_bench_macro:222122020", "9 layer(s), expected 8"),
}


@pytest.mark.parametrize("case", OTHER_SPACES)
def test_a_wrong_architecture_of_another_space(case: str) -> None:
    text, words = OTHER_SPACES[case]
    ran = zeroscore("score", text)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint
    assert len(ran.complaint) < 500
    assert not Path("unpickled").exists()


SCORE = ("score", "users_models:fine", "--batch", "4", "--shape", "3,8,8")
RANK = ("rank", "--sample", "2", "--batch", "4")
SEARCH = ("search", "--evaluations", "2", "--batch", "4")


def score(name: str) -> tuple[str, ...]:
    return ("score", f"users_models:{name}", *SCORE[2:])


def images(name: str) -> tuple[str, ...]:
    return (*SCORE, "--images", name)


CASES: list[tuple[tuple[str, ...], int, str]] = [
    # numbers of images
    ((*SCORE, "--batch", "0"), 2, "'--batch': '0' is not a whole number of at least 2; see 'zeroscore score --help'"),
    ((*SCORE, "--batch", "1"), 2, "'--batch': '1' is not a whole number of at least 2"),
    ((*SCORE, "--batch", "-8"), 2, "'--batch': '-8' is not a whole number of at least 2"),
    ((*SCORE, "--batch", "8.5"), 2, "'--batch': '8.5' is not a whole number of at least 2"),
    ((*SCORE, "--batch", ""), 2, "'--batch': '' is not a whole number of at least 2"),
    ((*SCORE, "--batch", "9" * 30), 2, f"'--batch': {'9' * 30} is more than 2147483647"),
    ((*SCORE, "--batch", "2000000000"), 1, "cannot make --batch 2000000000 images of 3x8x8 from 'noise': "),
    ((*RANK, "--batch", "1"), 2, "'--batch': '1' is not a whole number of at least 2; see 'zeroscore rank --help'"),
    # images
    (images("empty.npz"), 2, "'empty.npz' holds 0 images, fewer than batch=4"),
    (images("single.npz"), 2, "'single.npz' holds 1 images, fewer than batch=4"),
    ((*SCORE, "--images", "pixels.npz", "--batch", "10"), 2, "'pixels.npz' holds 9 images, fewer than batch=10"),
    (images("duplicates.npz"), 1, "no score for users_models:fine: naswot SINGULAR: duplicate images: "),
    ((*SCORE, "--images", "nan.npz", "--batch", "9"), 2, "1 of 9 images hold NaN or Inf, the first is image"),
    ((*SCORE, "--images", "inf.npz", "--batch", "9"), 2, "1 of 9 images hold NaN or Inf, the first is image"),
    (images("integers.npz"), 2, "array 'x' of 'integers.npz' is int64; expected uint8 or floating point"),
    (images("flat.npz"), 2, "array 'x' of 'flat.npz' has shape [9, 192]; expected four dimensions"),
    (
        images("five_channels.npz"),
        1,
        "no score for users_models:fine: naswot MODEL_ERROR: RuntimeError: Given",
    ),
    (images("labels.npz"), 2, "'labels.npz' has no array called x_train, images, x, data, arr_0; it has y"),
    (images("truncated.npz"), 1, "cannot read images from 'truncated.npz'"),
    (images("nowhere"), 2, "no images at 'nowhere'; give 'noise', a folder of pictures, or an .npz file"),
    (images("file.txt"), 2, "images file 'file.txt' is not an .npz; give 'noise', a folder"),
    (images("pictures"), 2, "folder 'pictures' holds no pictures (.png"),
    (images("~nobody_of_this_name/x"), 1, "from '~nobody_of_this_name/x': "),
    (images("n" * 3000), 1, "File name too long"),
    ((*SCORE, "--shape", "3,8"), 2, "--shape '3,8'; expected C,H,W such as 3,32,32"),
    ((*SCORE, "--shape", "3,0,8"), 2, "--shape '3,0,8'; expected C,H,W"),
    ((*SCORE, "--shape", "3,8,-8"), 2, "--shape '3,8,-8'; expected C,H,W"),
    ((*SCORE, "--shape", "1,8,8"), 1, "MODEL_ERROR: RuntimeError: Given groups=1"),
    ((*SCORE, "--shape", "3,2,2"), 1, "MODEL_ERROR: RuntimeError: "),
    (
        (*RANK, "--images", "five_channels.npz"),
        1,
        "none of the 2 architectures has a finite naswot: naswot MODEL_ERROR",
    ),
    ((*RANK, "--images", "duplicates.npz"), 1, "none of the 2 architectures has a finite naswot: naswot SINGULAR"),
    ((*SEARCH, "--images", "duplicates.npz"), 1, "none of the 2 architectures tried has a finite score"),
    # models
    (score("linear"), 1, "no score for users_models:linear: naswot NO_ACTIVATIONS: no ReLU-like activation to read"),
    (score("raises"), 1, "naswot, flops MODEL_ERROR: RuntimeError: the first and the second line"),
    (score("broken"), 1, "naswot, params, flops MODEL_ERROR: ValueError: the first and the second line"),
    (score("needs"), 1, "MODEL_ERROR: TypeError: needs() missing 1 required positional argument: 'argument'"),
    (score("infinite"), 1, "naswot NON_FINITE: the network's output holds NaN or Inf"),
    (score("meta"), 2, "the model is on device 'meta', which holds no values; build it on 'cpu' or 'cuda'"),
    (score("spread"), 2, "the model is "),
    (score("lazy"), 2, "the model has lazy parameters without a shape; run it on one batch first"),
    (score("nothing"), 2, "model 'users_models:nothing': nothing() returned NoneType, not a torch.nn.Module"),
    (score("absent"), 2, "model 'users_models:absent': module 'users_models' has no 'absent'; it has net, "),
    (
        ("rank", "nasbench201:|none~0|"),
        2,
        "'nasbench201:|none~0|' is one architecture; rank takes the space, nasbench201",
    ),
    (("score", "users_absent:net"), 2, "model 'users_absent:net': no space or module is called 'users_absent'; write "),
    (("score", "resnet18"), 2, "cannot tell what model 'resnet18' is; write 'nasbench201:"),
    (("score", "timm:resnet-18"), 2, "has no model 'resnet-18'; did you mean resnet18"),
    (("score",), 2, "Missing argument 'MODEL'; see 'zeroscore score --help'"),
    # names
    ((*SCORE, "--scorers", "nawsot"), 2, "unknown scorer 'nawsot' (did you mean 'naswot'?); known: "),
    ((*RANK, "--scorers", "naswot,size"), 2, "unknown scorer 'size'; known: "),
    ((*RANK, "--scorers", ","), 2, "--scorers ','; expected names separated by commas"),
    ((*SEARCH, "--scorers", "naswot,params"), 2, "--scorers 'naswot,params'; expected one name"),
    (
        (*RANK, "nats_size", "--tie-weights"),
        2,
        "networks of space 'nats_size' cannot share weights; spaces that can: nasbench201",
    ),
    (("rank", "nasbench202"), 2, "unknown space 'nasbench202' (did you mean 'nasbench201'?); known: "),
    ((*SEARCH, "--method", "evolution"), 2, "unknown searcher 'evolution' (did you mean "),
    ((*RANK, "--engine", "remote"), 2, "unknown engine 'remote'; known: local, ray"),
    ((*RANK, "--address", "head:6379"), 2, "--address head:6379 is for --engine ray, not for --engine auto"),
    ((*RANK, "--engine", "local", "--workers", "2"), 2, "--workers 2 is for --engine ray, not for --engine local"),
    ((*RANK, "--engine", "ray", "--workers", "0"), 2, "'--workers': '0' is not a whole number of at least 1"),
    ((*SCORE, "--count", "twice"), 2, "unknown count 'twice'; known: application, reference, live"),
    ((*RANK, "--count", "twice"), 2, "unknown count 'twice'; known: application, reference, live"),
    ((*SCORE, "--precision", "int8"), 2, "unknown precision 'int8'; known: auto, float32, bfloat16"),
    ((*RANK, "--precision", "int8"), 2, "unknown precision 'int8'; known: auto, float32, bfloat16"),
    ((*SCORE, "--device", "cuda:99"), 2, "cannot use device 'cuda:99': "),
    ((*RANK, "--device", "cuda:99"), 2, "cannot use device 'cuda:99': "),
    ((*SEARCH, "--device", "cuda:99"), 2, "cannot use device 'cuda:99': "),
    ((*SCORE, "--device", "gpu"), 2, "cannot use device 'gpu': "),
    ((*SCORE, "--device", "meta"), 2, "the model is on device 'meta', which holds no values"),
    ((*RANK, "--device", "meta"), 2, "cannot use device 'meta'"),
    (
        (*RANK, "--bath", "8"),
        2,
        "No such option: --bath (Possible options: --archs, --batch); see 'zeroscore rank --help'",
    ),
    ((*RANK, "nasbench201", "another"), 2, "another"),
    ((*RANK, "--out"), 2, "Option '--out' requires an argument; see 'zeroscore "),
    (("frobnicate",), 2, "No such command 'frobnicate'; see 'zeroscore --help'"),
    (("table", "frobnicate"), 2, "No such command 'frobnicate'; see 'zeroscore table --help'"),
    # counts
    ((*RANK, "--top", "0"), 2, "'--top': '0' is not a whole number of at least 1"),
    ((*RANK, "--top", "-1"), 2, "'--top': '-1' is not a whole number of at least 1"),
    ((*SEARCH, "--top", "0"), 2, "'--top': '0' is not a whole number of at least 1"),
    ((*RANK, "--sample", "0"), 2, "'--sample': '0' is not a whole number of at least 1"),
    ((*RANK, "--sample", "15626"), 2, "--sample 15626; nasbench201 has 15,625 architectures, which --all ranks"),
    ((*RANK, "--all"), 2, "--all and --sample 2; give one of them"),
    (("rank", "nds_resnext_a", "--all"), 2, "--all; nds_resnext_a has 11,390,625 architectures, more than the 10,000"),
    (("rank", "darts", "--all"), 2, "--all; darts has "),
    ((*RANK, "--seed", "-1"), 2, "'--seed': '-1' is not a whole number of at least 0"),
    ((*SCORE, "--seed", str(2**63)), 2, f"'--seed': {2**63} is more than {2**63 - 1}"),
    ((*SEARCH, "--seed", "x"), 2, "'--seed': 'x' is not a whole number of at least 0"),
    ((*SEARCH, "--evaluations", "0"), 2, "'--evaluations': '0' is not a whole number of at least 1"),
    ((*SEARCH, "--seconds", "0"), 2, "seconds=0.0 is not a positive finite number"),
    ((*SEARCH, "--seconds", "nan"), 2, "seconds=nan is not a positive finite number"),
    ((*SEARCH, "--seconds", "soon"), 2, "'--seconds': 'soon' is not a number; see 'zeroscore search --help'"),
    # tables
    ((*RANK, "--table", "nowhere.csv"), 1, "no table at nowhere.csv: no such file or folder"),
    ((*RANK, "--table", "nats-ts"), 2, "unknown table 'nats-ts': not a path, and not one of digits201, hw-nas-bench, "),
    ((*RANK, "--table", "nats-tss"), 1, "table 'nats-tss' is not in home/tables; get NATS-tss-v1_0-3ffb9"),
    ((*RANK, "--table", "cut.csv"), 1, "cannot read table cut.csv: "),
    ((*RANK, "--table", "cut.csv.gz"), 1, "cannot read table cut.csv.gz: "),
    ((*RANK, "--table", "cut.parquet"), 1, "cannot read table cut.parquet: "),
    ((*RANK, "--table", "file.txt"), 1, "file.txt is no table known here: a file ending in .csv"),
    ((*RANK, "--table", "no_arch.csv"), 1, "table no_arch.csv has no column 'arch'"),
    ((*RANK, "--table", "table.csv", "--dataset", "svhn"), 2, "table 'table' has no accuracy, svhn, test; it has "),
    ((*RANK, "--table", "table.csv", "--split", "train"), 2, "table 'table' has no accuracy, cifar10, train; it has "),
    ((*RANK, "--table", "table.csv", "--epochs", "13"), 2, "has no accuracy, cifar10, test, 13 epochs; it has "),
    ((*RANK, "--table", "table.csv", "--epochs", "0"), 2, "'--epochs': '0' is not a whole number of at least 1"),
    ((*RANK, "--table", "table.csv"), 1, "is not among the 500 of table 'table'"),
    ((*SEARCH, "--table", "table.csv"), 2, "table 'table' has no accuracy, cifar10-valid, valid, 12 epochs; it has "),
    ((*SEARCH, "--table", "holes.csv", "--seconds", "9"), 2, "a budget in seconds needs training seconds"),
    (("table", "info"), 2, "Missing argument 'TABLE'; see 'zeroscore table info --help'"),
    (("table", "info", "stranger.pickle.pbz2"), 1, "refusing to unpickle stranger.pickle.pbz2: a pickle runs its own"),
    (("table", "info", "NATS-tss-v1_0-3ffb9.pickle.pbz2"), 1, "is damaged or not what its name says: its MD5 "),
    (("table", "convert", "stranger.pickle.pbz2", "x.parquet"), 1, "refusing to unpickle stranger.pickle.pbz2"),
    (("table", "convert", "whole.parquet", "x.parquet"), 2, "whole.parquet needs no conversion: it is Parquet already"),
    (("table", "info", "cut.tfrecord"), 1, "cut.tfrecord"),
    (("table", "convert", "cut.tfrecord", "x.parquet"), 1, "cut.tfrecord"),
    (("table", "info", "twice.csv"), 1, "table twice.csv: arch '|nor_conv_3x3~0|"),
    (("table", "info", "more.csv"), 1, "column 'c10_test_200' has 101 in row 1, not an accuracy in percent"),
    (("table", "get", "nasbench102"), 2, "unknown official table 'nasbench102'; known: nats-tss, nats-sss, "),
    ((*RANK, "--table", "sizes.csv"), 2, "table 'sizes' is of space nats_size, not nasbench201"),
    ((*SEARCH, "--table", "sizes.csv"), 2, "table 'sizes' is of space nats_size, not nasbench201"),
    (("evaluate", "ranking.csv", "--table", "sizes.csv"), 2, "table 'sizes' is of space nats_size, not nasbench201"),
    (("rank", "--in-table"), 2, "--in-table needs a table; give --table PATH-OR-NAME"),
    (
        ("rank", "--in-table", "--table", "table.csv", "--sample", "501"),
        2,
        "--sample 501; table 'table' has 500 architectures, which --all ranks",
    ),
    (("rank", "--in-table", "--table", "names.csv"), 2, "nasbench201 cell 'a': 1 node(s) separated by '+', expected 3"),
    (("table", "convert", "stranger.pickle.pbz2", "x.csv"), 2, "cannot convert to x.csv: a converted table is a "),
    (("table", "convert", "table.csv"), 2, "Missing argument 'TARGET'; see 'zeroscore table convert --help'"),
    # scores, and where they go
    ((*RANK, "--out", "file.txt"), 1, "store 'file.txt' is a file; give a folder"),
    ((*RANK, "--out", "file.txt/scores"), 1, "cannot write store 'file.txt/scores': Not a directory"),
    ((*RANK, "--out", "file.txt/scores.csv"), 1, "cannot write --out 'file.txt/scores.csv': "),
    ((*RANK, "--out", "~nobody_of_this_name/x"), 2, "'--out': '~nobody_of_this_name/x': "),
    ((*RANK, "--out", "folder.csv"), 1, "cannot write --out 'folder.csv': it is a folder"),
    ((*SEARCH, "--out", "file.txt/history.parquet"), 1, "cannot write --out 'file.txt/history.parquet': "),
    ((*SEARCH, "--out", "history.csv"), 2, "--out 'history.csv'; a history is a .parquet file"),
    ((*SEARCH, "--scores", "nowhere"), 2, "no scores at 'nowhere'; 'zeroscore rank --out nowhere' makes them"),
    (("evaluate", "nowhere", "--table", "table.csv"), 2, "no scores at 'nowhere'; 'zeroscore rank --out nowhere'"),
    (("evaluate", "pictures", "--table", "table.csv"), 1, "'pictures' is no score store: it has no provenance.json"),
    (("evaluate", "not_a_ranking.csv", "--table", "table.csv"), 1, "'not_a_ranking.csv' is no ranking: it lacks "),
    (("evaluate", "whole.parquet", "--table", "table.csv"), 1, "'whole.parquet' is no ranking: it lacks "),
    (("evaluate", "cut.parquet", "--table", "table.csv"), 1, "cannot read scores from 'cut.parquet': "),
    (("evaluate", "whole.parquet"), 2, "evaluate needs accuracies; give --table PATH-OR-NAME"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), CASES, ids=[f"{c[0][0]}-{c[2][:50]}" for c in CASES])
def test_one_line_says_it(arguments: tuple[str, ...], code: int, words: str) -> None:
    if arguments[1:] and arguments[1].startswith("timm:") and importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed: pip install 'zeroscore[zoo]'")
    ran = zeroscore(*arguments)
    assert words in ran.complaint
    assert ran.code == code
    assert not Path("unpickled").exists()


# nothing is lost


def test_models_scored_before_a_bad_one_are_printed() -> None:
    for bad in ("nothing", "meta"):
        ran = zeroscore("score", "users_models:fine", f"users_models:{bad}", *SCORE[2:], "--json")
        assert ran.code == 2
        assert [row["model"] for row in ran.json] == ["users_models:fine"]
        assert ran.json[0]["status"] == "OK"
        assert ran.complaint


def test_a_store_of_other_settings_is_refused_and_left_alone() -> None:
    assert zeroscore(*RANK, "--out", "kept").code == 0
    before = {file.name: file.read_bytes() for file in Path("kept").iterdir()}
    for option, value, key in (("--batch", "5", "batch"), ("--seed", "1", "seed"), ("--count", "live", "count")):
        ran = zeroscore(*RANK, "--out", "kept", option, value)
        assert ran.code == 1
        assert re.search(rf"store 'kept' is from other settings: .*{key}=.* there, '?{value}'? here", ran.complaint)
        assert ran.complaint.endswith("; use those or another folder")
    assert {file.name: file.read_bytes() for file in Path("kept").iterdir()} == before
    assert zeroscore(*RANK, "--out", "kept", "--json").json["already_scored"] == 2


def test_a_store_keeps_its_scores_when_a_later_run_makes_no_sense() -> None:
    assert zeroscore(*RANK, "--out", "kept").code == 0
    for wrong in (("--top", "0"), ("--scorers", "nawsot"), ("--table", "cut.csv"), ("--images", "nowhere")):
        assert zeroscore(*RANK, "--out", "kept", *wrong).code in (1, 2)
    assert zeroscore(*RANK, "--out", "kept", "--json").json["already_scored"] == 2


def test_a_damaged_part_is_named() -> None:
    assert zeroscore(*RANK, "--out", "kept").code == 0
    part = Path("kept/part-00000.parquet")
    part.write_bytes(part.read_bytes()[:-50])
    ran = zeroscore(*RANK, "--out", "kept")
    assert ran.code == 1
    assert "cannot read 'kept/part-00000.parquet'" in ran.complaint
    assert "delete it to have its rows scored again" in ran.complaint


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_an_older_file_outlives_a_run_that_fails(name: str) -> None:
    Path(name).write_text("older scores")
    for wrong in (("--images", "nowhere"), ("--device", "cuda:99"), ("--table", "table.csv")):
        assert zeroscore(*RANK, "--out", name, *wrong).code in (1, 2)
    assert Path(name).read_text() == "older scores"


def test_scores_with_a_hole_in_the_table_are_refused_before_anything_is_scored() -> None:
    Path("empty_cells.csv").write_text("arch,c10_test_200\n" + "".join(f"{arch},\n" for arch in SPACE))
    ran = zeroscore(*RANK, "--table", "empty_cells.csv", "--out", "kept")
    assert ran.code == 1
    assert re.search(r"table 'empty_cells' has no c10_test_200 of architecture '\|.*\|'", ran.complaint)
    assert not Path("kept").exists()


def test_stored_scores_that_do_not_fit_the_search() -> None:
    assert zeroscore(*RANK, "--out", "kept").code == 0
    search = ("search", "--scores", "kept", "--evaluations", "2")
    assert "'kept' has no scores by 'params'; it has naswot" in zeroscore(*search, "--scorers", "params").complaint
    ran = zeroscore(*search, "--method", "regularized_evolution")
    assert ran.code == 2
    assert "'kept' may lack: it has 2 of 15,625; leave out --scores" in ran.complaint


def test_a_conversion_that_is_refused_leaves_the_older_file() -> None:
    Path("table.parquet").write_text("older table")
    assert zeroscore("table", "convert", "stranger.pickle.pbz2", "table.parquet").code == 1
    assert Path("table.parquet").read_text() == "older table"
    assert not Path("unpickled").exists()


# the same through Python


def relu() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


WRONG_IMAGES: list[tuple[Any, str]] = [
    (NOISE[:0], "batch of 0; a score compares images, so give at least 2"),
    (NOISE[:1], "batch of 1; a score compares images, so give at least 2"),
    (torch.zeros(4, 3, 0, 8), "which is empty"),
    (torch.zeros(4), "shape [4]; expected [batch, channels, height, width]"),
    (
        torch.zeros(4, 3, 8, 8, dtype=torch.uint8),
        "torch.uint8; scale them to floating point first, as load_images does",
    ),
    (torch.zeros(4, 3, 8, 8, dtype=torch.int64), "torch.int64; scale them to floating point first"),
    (torch.full((4, 3, 8, 8), float("nan")), "4 of 4 images hold NaN or Inf, the first is image 0; drop them"),
    (torch.full((4, 3, 8, 8), float("inf")), "4 of 4 images hold NaN or Inf"),
    (NOISE.numpy(), "images must be a tensor, not ndarray; load_images makes one"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG_IMAGES, ids=[words[:30] for _, words in WRONG_IMAGES])
def test_wrong_images(wrong: Any, words: str) -> None:
    for call in (
        lambda: zs.score(relu(), wrong),
        lambda: zs.overlap_kernel(relu(), wrong),
        lambda: zs.score_many(SPACE, [GOOD], wrong),
        lambda: zs.score_many(SPACE, [GOOD], wrong, tie_weights=True),
    ):
        with pytest.raises(zs.UsageError) as found:
            call()
        assert words in str(found.value)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        (nn.Conv2d(3, 4, 3), "NO_ACTIVATIONS", "no ReLU-like activation to read"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 7)), "MODEL_ERROR", "RuntimeError: mat1 and mat2"),
        (nn.Sequential(nn.Conv2d(5, 4, 3), nn.ReLU()), "MODEL_ERROR", "channels"),
        (nn.ReLU(), "OK", ""),
    ],
)
def test_a_model_that_cannot_be_scored_has_a_status(model: nn.Module, code: str, words: str) -> None:
    score = zs.score(model, NOISE)
    assert score.status.code == code
    assert words in score.status.reason
    assert "\n" not in str(score.status)
    assert np.isfinite(score.value) == (code == "OK")


def test_duplicate_images_are_named() -> None:
    score = zs.score(relu(), NOISE[[0, 1, 2, 1]])
    assert str(score.status) == "SINGULAR: duplicate images: 1 equal pair(s), the first is images 1 and 3"
    assert score.value == -np.inf
