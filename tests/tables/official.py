"""Small tables in the true official formats, written by code that shares nothing with the readers."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zeroscore.archs.graph import CellGraph

# The polynomial of CRC-32C (RFC 3720), bits reversed.
CASTAGNOLI = 0x82F63B78


def crc32c(data: bytes) -> int:
    """Bit by bit; 0xE3069283 for b"123456789"."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = crc // 2**15 + crc % 2**15 * 2**17
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)


def tfrecord(records: Iterable[bytes]) -> bytes:
    frames = []
    for record in records:
        length = struct.pack("<Q", len(record))
        frames.append(length + masked(length) + record + masked(record))
    return b"".join(frames)


def varint(number: int) -> bytes:
    out = b""
    while number >= 128:
        out += bytes([number % 128 + 128])
        number //= 128
    return out + bytes([number])


def double(field: int, value: float) -> bytes:
    return varint(field * 8 + 1) + struct.pack("<d", value)


def sized(field: int, value: bytes) -> bytes:
    return varint(field * 8 + 2) + varint(len(value)) + value


def whole(field: int, value: int) -> bytes:
    return varint(field * 8) + varint(value)


def evaluation(epoch: float, seconds: float, train: float, valid: float, test: float, checkpoint: str = "") -> bytes:
    numbers = (epoch, seconds, train, valid, test)
    out = b"".join(double(field, value) for field, value in enumerate(numbers, 1))
    return out + (sized(6, checkpoint.encode()) if checkpoint else b"")


def metrics(
    epochs: int, seconds: float, train: float, valid: float, test: float, params: int = 8_555_530, checkpoint: str = "x"
) -> str:
    """One run's ModelMetrics as base64 text; the first evaluations are made up."""
    evaluations = (
        evaluation(0.0, 1.5, 0.1, 0.1, 0.1, checkpoint),
        evaluation(epochs / 2, seconds / 2, train / 2, valid / 2, test / 2, checkpoint),
        evaluation(float(epochs), seconds, train, valid, test, checkpoint),
    )
    message = b"".join(sized(1, one) for one in evaluations) + whole(2, params) + double(3, 2 * seconds)
    return base64.b64encode(message).decode()


def cell_record(matrix: str, ops: str, epochs: int, text: str, digest: str | None = None) -> list[Any]:
    """A record; ``matrix`` is rows joined by "/", ``ops`` the interior ones joined by commas."""
    rows = [[int(digit) for digit in row] for row in matrix.split("/")]
    names = ",".join(filter(None, ("input", ops, "output")))
    digest = CellGraph.from_matrix(rows, names.split(",")).hash if digest is None else digest
    return [digest, epochs, matrix.replace("/", ""), names, text]


CHAIN = ("0100/0010/0001/0000", "conv3x3-bn-relu,maxpool3x3")
FORK = ("01101/00010/00010/00001/00000", "conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3")
EDGE = ("01/00", "")
RUNS = {  # seconds, train, valid, test of each run
    (CHAIN, 4): [(50.5, 0.75, 0.625, 0.5), (50.25, 0.5, 0.5, 0.75), (51.0, 0.25, 0.75, 0.25)],
    (CHAIN, 108): [(1000.5, 1.0, 0.875, 0.9375), (1001.5, 0.9990234375, 0.90625, 0.9296875), (999.0, 1.0, 0.75, 0.5)],
    (FORK, 4): [(60.5, 0.5, 0.375, 0.125), (61.0, 0.625, 0.25, 0.3125), (62.0, 0.25, 0.5, 0.0625)],
    (FORK, 108): [(2000.0, 1.0, 0.9375, 0.875), (2001.0, 0.96875, 0.96875, 0.90625)],
    (EDGE, 108): [(300.0, 0.5, 0.25, 0.125)],
}
PARAMS = {CHAIN: 1_234_567, FORK: 2_345_678, EDGE: 123_456}


def cell_records() -> list[list[Any]]:
    """Runs of three cells, those of one cell far apart, some missing."""
    records = []
    for run in range(3):
        for (cell, epochs), runs in RUNS.items():
            if run < len(runs):
                records.append(cell_record(*cell, epochs, metrics(epochs, *runs[run], params=PARAMS[cell])))
    return records


def write_tfrecord(path: Path, records: Iterable[object]) -> Path:
    path.write_bytes(tfrecord(json.dumps(record).encode() for record in records))
    return path


def genotype_net(op: str = "sep_conv_3x3", width: int = 16, depth: int = 8) -> dict[str, Any]:
    cell = [[op, 0], ["skip_connect", 1], ["max_pool_3x3", 0], [op, 2]]
    concats = {"normal_concat": [2, 3], "reduce_concat": [2, 3]}
    genotype = {"normal": cell, "reduce": cell, **concats}
    return {"aux": True, "depth": depth, "drop_prob": 0.2, "genotype": genotype, "width": width}


def stages_net(depths: tuple[int, ...] = (3, 5, 2)) -> dict[str, Any]:
    return {
        "block_type": "res_basic_block",
        "bot_muls": [],
        "ds": [1, *depths],
        "num_gs": [],
        "ss": [1, 1, 2, 2],
        "ws": [16, 16, 32, 64],
    }


def nds_entry(
    net: Mapping[str, Any], test: list[float], train: list[float] | None = None, **more: Any
) -> dict[str, Any]:
    """An entry with every key that the published files have."""
    facts = {"act_mem": 3_000_000, "exp_mem": 1.5, "flops": 123_456_000, "params": 1_500_000, "iter_time": 0.125}
    losses = {"train_ep_loss": [float("nan")] * len(test), "train_it_loss": [1.0], "train_it_top1": [90.0]}
    run = {"job_id": len(test), "rng_seed": 1, "optim": {"base_lr": 0.1, "wd": 5e-4, "max_ep": len(test)}}
    accuracies = {"test_ep_top1": test, "train_ep_top1": train or test, "min_test_top1": min(test)}
    return {**facts, **losses, **run, **accuracies, "prec_time": {"train_fw_bw": 0.1}, "net": dict(net), **more}


def macro_entry(*runs: float, params: int = 387_882, flops: int = 8_000_000) -> dict[str, Any]:
    return {"test_acc": list(runs), "mean_acc": sum(runs) / len(runs), "std": 0.5, "params": params, "flops": flops}
