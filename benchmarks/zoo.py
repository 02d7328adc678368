"""Score every network of torchvision and timm that builds without a download, and count how many work.

    python benchmarks/zoo.py                 # resumes; about two hours on one core
    python benchmarks/zoo.py --page          # only write benchmarks/zoo.md from the rows

Every network is built untrained, seeded, in a child process: one that crashes, runs out of memory or of time gives a
row and the sweep goes on. It is scored by naswot and zeroscore on --batch noise images of at most --side pixels, or of
the size that it declares where it refuses those, and its state (parameters, buffers, gradients, training flags, hooks,
attributes) is hashed before and after. Rows go to --out as they come; what has a row is left out the next time.

kind is decided by the module that a network comes from (KINDS, and CAFORMERS for one that has both): "cnn" where
features are mixed by convolutions alone, "hybrid" where also by attention, state spaces or the like, "transformer",
"mlp", or "task" for what is no image classifier (detection, video, optical flow, quantised copies).
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import hashlib
import itertools
import math
import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from rows import environment, run

import zeroscore as zs
from zeroscore.probe import Evidence
from zeroscore.scorers import SCORERS, score_evidence
from zeroscore.types import MODEL_ERRORS
from zeroscore.zoo import find, import_timm

RESULTS = Path(__file__).resolve().parent / "results"
ROWS = RESULTS / "zoo.csv"
PAGE = Path(__file__).resolve().parent / "zoo.md"

KINDS = {
    "hybrid": """byoanet coat convit cpubone csatv2 davit edgenext efficientformer efficientformer_v2 efficientvim
        efficientvit_mit efficientvit_msra fastvit gcvit iformer levit lowformer maxvit maxxvit mobilenetv5 mobilevit
        nextvit sequencer shvit swiftformer tiny_vit visformer vision_transformer_hybrid vitamin""",
    "transformer": """beit cait crossvit deepseek_vit deit eva gemma4_vit hiera hieradet_sam2 mvitv2 naflexvit nest pit
        pvt_v2 qwen3_vit swin_transformer swin_transformer_v2 swin_transformer_v2_cr tnt twins vision_transformer
        vision_transformer_relpos vision_transformer_sam volo xcit""",
    "mlp": "mlp_mixer",
}
NAMES = ("naswot", "zeroscore")
PLAIN = (bool, int, float, str, tuple, torch.Size, torch.dtype, torch.device, type(None))
CAFORMERS = "caformer*"
ORDER = ("cnn", "hybrid", "task", "mlp", "transformer")
COLUMNS = (
    *("package", "kind", "family", "name", "params_m", "size", "status", "reason"),
    *(f"{name}_score" for name in NAMES),
    *("build_s", "seconds", "unchanged"),
)
MEMORY = 10 << 30
"""Bytes of address space that a child may have."""
NOT_BUILT = ("NOT_BUILT", "TOO_LARGE")


class Network(NamedTuple):
    """One name of one package, the module that it comes from, and what kind of network it is."""

    package: str
    kind: str
    family: str
    name: str


def main() -> None:
    arguments = parse_arguments()
    if not arguments.page:
        sweep(arguments)
    if arguments.page or arguments.out == ROWS:
        write_page(arguments.out)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", default="*", help="only names that match, such as 'resnet*'")
    parser.add_argument("--kinds", nargs="+", choices=ORDER, default=ORDER, help="only these")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=96, help="pixels, at most")
    parser.add_argument("--largest", type=float, default=600, help="million parameters that fit this machine")
    parser.add_argument("--seconds", type=float, default=180, help="of processor time, a network")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--page", action="store_true")
    return parser.parse_args()


def networks() -> list[Network]:
    """Every name of both packages: one of each family first, then the rest, CNNs before others."""
    timm = import_timm()
    from timm.models import list_modules
    from torchvision import models

    found = [Network("timm", kind_of(m, n), m, n) for m in list_modules() for n in timm.list_models(module=m)]
    for name in models.list_models():
        family = models.get_model_builder(name).__module__.removeprefix("torchvision.models.")
        kind = "task" if "." in family and not family.startswith("segmentation") else kind_of(family, name)
        found.append(Network("torchvision", kind, family, name))
    turns: dict[tuple[str, ...], Iterator[int]] = {}
    rank = {each: next(turns.setdefault(each[:3], itertools.count())) for each in found}
    return sorted(found, key=lambda each: (rank[each] > 0, ORDER.index(each.kind), rank[each]))


def kind_of(family: str, name: str) -> str:
    """What kind of network the module ``family`` has under ``name``."""
    if fnmatch.fnmatch(name, CAFORMERS):
        return "hybrid"
    return next((kind for kind, modules in KINDS.items() if family in modules.split()), "cnn")


def sweep(arguments: argparse.Namespace) -> None:
    """Score what has no row yet, ``--jobs`` at a time."""
    done = set()
    if arguments.out.exists():
        rows = pd.read_csv(arguments.out)
        done = {*zip(rows["package"], rows["name"], strict=True)}
    waiting = [
        each
        for each in networks()
        if (each.package, each.name) not in done
        and fnmatch.fnmatch(each.name, arguments.names)
        and each.kind in arguments.kinds
    ]
    facts = {**environment(), "threads": 1}
    total = len(waiting)
    with arguments.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, (*COLUMNS, *facts))
        if not done:
            writer.writeheader()
        busy: dict[Any, tuple[Any, Network]] = {}
        idle: list[tuple[Any, Connection]] = []
        ended = 0
        while waiting or busy:
            while waiting and len(busy) < arguments.jobs:
                process, pipe = idle.pop() if idle else start(arguments)
                each = waiting.pop(0)
                pipe.send(each)
                busy[pipe] = (process, each)
            for pipe in wait(list(busy)):
                process, each = busy.pop(pipe)
                try:
                    row = pipe.recv()
                    idle.append((process, pipe))
                except EOFError:
                    row = epitaph(process, arguments.seconds)
                ended += 1
                writer.writerow({**each._asdict(), **row, **facts})
                file.flush()
                said = f"{ended}/{total} {each.package}:{each.name} {row['status']} {row['reason']}"
                print(said[:150], flush=True)
        for process, pipe in idle:
            pipe.send(None)
            process.join()


def start(arguments: argparse.Namespace) -> tuple[Any, Connection]:
    """A child that answers names with rows."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, vars(arguments)), daemon=True)
    process.start()
    there.close()
    return process, here


def epitaph(process: Any, seconds: float) -> dict[str, object]:
    """The row of a network that took its process with it."""
    process.join()
    if process.exitcode == -signal.SIGXCPU:
        return {"status": "TIMEOUT", "reason": f"more than {seconds:g} s of processor time"}
    return {"status": "CRASHED", "reason": f"the process ended with {process.exitcode}"}


def serve(pipe: Connection, options: dict[str, Any]) -> None:
    """Score what comes through ``pipe`` until None does."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    import_timm()
    while (each := pipe.recv()) is not None:
        # Processor time, since how long a network takes by the clock depends on who else is at work.
        limit = int(time.process_time() + options["seconds"]) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        pipe.send(row_of(each, options["batch"], options["side"], options["largest"]))


def row_of(each: Network, batch: int, side: int, largest: float) -> dict[str, object]:
    """Build, score and hash one network."""
    target = find(f"{each.package}:{each.name}")
    try:
        with torch.device("meta"):
            params = parameters_of(target.build(0))
    except MODEL_ERRORS:
        params = 0  # what cannot be laid out without memory is built, and counted then
    if params > largest * 1e6:
        return {"params_m": round(params / 1e6, 2), "status": "TOO_LARGE", "reason": f"over {largest:g} M parameters"}
    begun = time.perf_counter()
    try:
        model = target.build(0)
    except MODEL_ERRORS as error:
        return {"status": "NOT_BUILT", "reason": f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]}
    built_s = time.perf_counter() - begun
    before = state_hash(model)
    channels, *pixels = target.shape
    begun = time.perf_counter()
    for shape in dict.fromkeys(((channels, *(min(side, pixel) for pixel in pixels)), target.shape)):
        images = images_of(each, shape, batch)
        scores = score_both(model, images)
        if all(score.status.code != zs.Code.MODEL_ERROR for score in scores.values()):
            break
    failed = next((score for score in scores.values() if not score.status.ok), scores["naswot"])
    return {
        "params_m": round(parameters_of(model) / 1e6, 2),
        "size": "x".join(map(str, images.shape[1:])),
        "status": str(failed.status.code),
        "reason": failed.status.reason,
        **{f"{name}_score": score.value for name, score in scores.items()},
        "build_s": round(built_s, 3),
        "seconds": round(time.perf_counter() - begun, 3),
        "unchanged": state_hash(model) == before,
    }


def images_of(each: Network, shape: tuple[int, ...], batch: int) -> Tensor:
    """Noise ``[batch, *shape]``, with 16 frames before the height for a network of videos."""
    frames = (16,) if each.family.startswith("video") else ()
    return torch.randn(batch, shape[0], *frames, *shape[1:], generator=torch.Generator().manual_seed(0))


def score_both(model: nn.Module, images: Tensor) -> dict[str, zs.Score]:
    """naswot and zeroscore of one pass."""
    scores = score_evidence(Evidence(model, images), tuple(map(SCORERS.get, NAMES)))
    return dict(zip(NAMES, scores, strict=True))


def parameters_of(model: nn.Module) -> int:
    """How many there are."""
    return sum(parameter.numel() for parameter in model.parameters())


def state_hash(model: nn.Module) -> str:
    """One text for all that a network holds: equal before and after if nothing in it has changed."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        facts = (name, id(tensor), tensor.dtype, tensor.device, tuple(tensor.shape), tensor.stride())
        digest.update(repr((*facts, tensor.requires_grad, tensor.grad)).encode())
        flat = tensor.detach().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    for name, module in model.named_modules():
        digest.update(
            repr((name, type(module), {key: facts_of(value) for key, value in vars(module).items()})).encode()
        )
    return digest.hexdigest()


def facts_of(attribute: Any) -> object:
    """What tells an attribute of a module from another: its value where that is text, else which object it is."""
    if isinstance(attribute, PLAIN):
        return repr(attribute)
    if isinstance(attribute, dict):
        return id(attribute), [(repr(key), id(value)) for key, value in attribute.items()]
    return (id(attribute), *(map(id, attribute) if isinstance(attribute, (list, set)) else ()))


def write_page(path: Path) -> None:
    """The table by family, from the rows at ``path``."""
    rows = pd.read_csv(path, keep_default_na=False)
    rows["seconds"] = pd.to_numeric(rows["seconds"], errors="coerce")
    rows["reason"] = rows["reason"].astype(str).str.slice(0, 160).str.replace("|", "\\|")
    rows["network"] = rows["package"] + ":" + rows["name"]
    unbuilt = rows["status"].isin(NOT_BUILT)
    total = "| kind | names | built | scored | share | unchanged | median s |"
    last = rows.iloc[-1]
    lines = [
        "# Other people's networks",
        "",
        "Every network of timm and torchvision that builds without a download, scored untrained on noise. Written by",
        f"`python benchmarks/zoo.py` from `benchmarks/results/{path.name}`, which has a row for each",
        f"(torch {last['torch']}, {last['cpu']}, one thread, beside other work). A share is of what was built;",
        "unchanged are networks whose state has one hash before and after.",
        "",
        *table(total, [f"{kind} | {summary(group)}" for kind, group in rows.groupby("kind")]),
        "",
        "## By family",
        "",
        *table(
            total.replace("| kind", "| package | kind | family"),
            [
                f"{' | '.join(map(str, names))} | {summary(group)}"
                for names, group in rows.groupby(["package", "kind", "family"])
            ],
        ),
        "",
        "## What has no score",
        "",
        *listed(rows[~unbuilt & (rows["status"] != "OK")]),
        "",
        "## What was not built",
        "",
        *listed(rows[unbuilt]),
    ]
    PAGE.write_text("\n".join(lines) + "\n")
    print(f"{PAGE} written: {len(rows)} networks")


def table(head: str, rows: Iterable[str]) -> list[str]:
    """Lines of a table."""
    return [head, "|" + "---|" * (head.count("|") - 1), *(f"| {row} |" for row in rows)]


def listed(rows: pd.DataFrame) -> list[str]:
    """Networks with one status and reason, a line for all of one kind and reason."""
    groups = rows.groupby(["kind", "status", "reason"], sort=False)["network"]
    lines = [f"{kind} | {status} | {why} | {', '.join(names)}" for (kind, status, why), names in groups]
    return table("| kind | status | reason | networks |", lines)


def summary(group: pd.DataFrame) -> str:
    """Cells of one line: names, built, scored, share, unchanged, median seconds."""
    built = group[~group["status"].isin(NOT_BUILT)]
    scored = int((built["status"] == "OK").sum())
    hashed = built[built["unchanged"] != ""]
    unchanged = int((hashed["unchanged"].astype(str) == "True").sum())
    share = f"{scored / len(built):.1%}" if len(built) else ""
    median = built["seconds"].median()
    seconds = "" if math.isnan(median) else f"{median:.2f}"
    return f"{len(group)} | {len(built)} | {scored} | {share} | {unchanged} of {len(hashed)} | {seconds}"


if __name__ == "__main__":
    run(main)
