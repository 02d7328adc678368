"""The command line: zeroscore score | rank | search | evaluate | report | table | doctor."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict
from datetime import timedelta
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table as Grid

import zeroscore as zs
from zeroscore.arch_files import read_archs
from zeroscore.doctor import examine
from zeroscore.engines import Engine
from zeroscore.engines.cores import cores_given
from zeroscore.engines.ray import ray_engine
from zeroscore.metrics import regret
from zeroscore.probe import Evidence
from zeroscore.ranking import Progress as Step
from zeroscore.ranking import score_function, space_of
from zeroscore.report import check_targets, write_report
from zeroscore.scorers import SCORERS, Scorer, failure, score_evidence
from zeroscore.search import SEARCHERS
from zeroscore.store import write_frame
from zeroscore.tables import Metric, convert, download, installed_tables, tables_dir
from zeroscore.tables.about import check_space, datasets, default_metric, summary, usual_dataset
from zeroscore.tables.download import by_hand, next_step, part_of
from zeroscore.tables.load import names_of
from zeroscore.types import MODEL_ERRORS, UsageError, ZeroscoreError, foreign, one_of
from zeroscore.zoo import DEFAULT_SHAPE, Target, find, own_models
from zeroscore_data import Entry, embedded, manifest

MOST = 10_000_000
"""Architectures that --all takes at the most: they are kept in memory."""

WIDE = 10_000
"""Columns of output to a file or a pipe: nothing is ever folded there."""

FILES = (".parquet", ".csv", ".csv.gz")
"""Endings of --out that mean one file, written at the end, and not a folder that scores go to as they come."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
table_app = typer.Typer(rich_markup_mode=None, help="List, get, inspect and convert benchmark tables.")
app.add_typer(table_app, name="table")

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def _whole(least: int, most: int = 2**31 - 1) -> Callable[[str | int], int]:
    """A parser of whole numbers, whose complaint names the value."""

    def parse(text: str | int) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise typer.BadParameter(f"{str(text)!r} is not a whole number of at least {least}")
        if number > most:
            raise typer.BadParameter(f"{number} is more than {most}")
        return number

    return parse


def _real(text: str | float) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


def _path(text: str | Path) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise typer.BadParameter(f"{str(text)!r}: {error}") from None


Images = Annotated[str, typer.Option(metavar="SOURCE", help="'noise', a folder of pictures, or an .npz file.")]
Batch = Annotated[int, typer.Option(parser=_whole(2), metavar="N", help="Images in the mini-batch.")]
Seed = Annotated[
    int,
    typer.Option(
        parser=_whole(0, 2**63 - 1), metavar="N", help="Of every draw: architectures, images, initial weights."
    ),
]
Scorers = Annotated[str, typer.Option(metavar="NAMES", help="Separated by commas; 'zeroscore scorers' lists them.")]
Count = Annotated[
    str, typer.Option(metavar="NAME", help="ReLU applications that count: application, reference or live.")
]
Precision = Annotated[
    str, typer.Option(metavar="NAME", help="float32, bfloat16, or auto: bfloat16 where the hardware has it.")
]
Ties = Annotated[
    bool,
    typer.Option("--tie-weights", help="Let all networks share one weight a place, and run many of them at once."),
]
Threads = Annotated[
    int | None,
    typer.Option(parser=_whole(1), metavar="N", help="CPU threads; by default all cores that this process was given."),
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, ...; by default CUDA where there is one.")
]
Top = Annotated[int, typer.Option(parser=_whole(1), metavar="N", help="How many of the best to print.")]
SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="The search space.")]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="TABLE", help="A table's path or name; repeat it to join several."),
]
Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Dataset of the table's accuracies; by default cifar10, or the only one it has."),
]
Split = Annotated[str, typer.Option(metavar="NAME", help="Split of the table's accuracies: valid or test.")]
Epochs = Annotated[
    int | None,
    typer.Option(parser=_whole(1), metavar="N", help="Epochs of the table's accuracies; by default the most it has."),
]
Trust = Annotated[bool, typer.Option("--trust", help="Open pickles that no published checksum vouches for.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; numbers that are not finite are null.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Score, rank and search neural architectures without training them."""
    if version:
        out.print(f"zeroscore {zs.__version__}")
        raise typer.Exit
    _need_command(context)


@table_app.callback(invoke_without_command=True)
def table_root(context: typer.Context) -> None:
    """List, get, inspect and convert benchmark tables."""
    _need_command(context)


@app.command(epilog="Example: zeroscore score timm:resnet18 timm:convnext_atto --batch 32")
def score(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help="nasbench201:|...|, timm:resnet18, or package.module:factory."),
    ],
    images: Images = "noise",
    batch: Batch = 128,
    seed: Seed = 0,
    scorers: Scorers = "naswot,params,flops",
    count: Count = "application",
    precision: Precision = "auto",
    device: Device = None,
    threads: Threads = None,
    shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of an image; by default what each model expects.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score networks: cells of a space, timm models, or your own.

    A function of your own is called without arguments and returns a torch.nn.Module.
    """
    _use(threads)
    chosen = tuple(SCORERS.get(name) for name in _names(scorers))
    size = None if shape is None else _shape(shape)
    where = _device(device)
    rows: list[dict[str, Any]] = []
    try:
        # What the models' own code prints is not part of the answer.
        with redirect_stdout(sys.stderr):
            for target in [find(text) for text in models]:
                with err.status(f"scoring {target.text}") if err.is_terminal else nullcontext():
                    batch_of_images = _images(images, batch, seed, size or target.shape)
                    scores = _score_target(target, where, batch_of_images, chosen, count, precision, seed)
                rows.append(
                    {
                        "model": target.text,
                        **{s.scorer: s.value for s in scores},
                        "seconds": sum(s.seconds for s in scores),
                        "status": _status(scores),
                    }
                )
    finally:
        if rows:
            _print_json(rows) if as_json else _print_grid(pd.DataFrame(rows))
    if failed := [f"{row['model']}: {row['status']}" for row in rows if row["status"] != "OK"]:
        more = f" (and {len(failed) - 1} more of {len(rows)} models)" if len(failed) > 1 else ""
        raise ZeroscoreError(f"no score for {failed[0]}{more}")


@app.command(epilog="Example: zeroscore rank nasbench201 --sample 100 --scorers naswot,params --out scores")
def rank(
    space: Annotated[
        str,
        typer.Argument(
            metavar="SPACE", help="The search space; or package.module:name, networks of your own or what yields them."
        ),
    ] = "nasbench201",
    images: Images = "noise",
    batch: Batch = 128,
    seed: Seed = 0,
    sample: Annotated[
        int | None, typer.Option(parser=_whole(1), metavar="N", help="Rank N random architectures; by default 100.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Rank the whole space.")] = False,
    in_table: Annotated[
        bool, typer.Option("--in-table", help="Rank, or draw, only from the architectures that --table has.")
    ] = False,
    archs_path: Annotated[
        Path | None,
        typer.Option(
            "--archs",
            parser=_path,
            metavar="FILE",
            help="Rank, or draw, only from the architectures in a .csv or .parquet (column arch), a .jsonl or .txt.",
        ),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines of --archs that are none.")] = False,
    scorers: Scorers = "naswot",
    count: Count = "application",
    precision: Precision = "auto",
    tie_weights: Ties = False,
    device: Device = None,
    threads: Threads = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="Where scoring runs: local, ray, a plug-in's; auto is local.")
    ] = "auto",
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Ray cluster: auto, host:port or ray://...; by default a local one."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(parser=_whole(1), metavar="N", help="Ray workers; by default as many as there is room for."),
    ] = None,
    top: Top = 10,
    tables: Tables = None,
    dataset: Dataset = None,
    split: Split = "test",
    epochs: Epochs = None,
    trust: Trust = False,
    out_path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=_path,
            metavar="PATH",
            help="A folder that keeps scores as they come, so that the same command goes on after an interruption; "
            "or a .parquet or .csv file, written at the end.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score architectures of a space and print the best.

    The first scorer decides. With --table, accuracies and the regret of taking the best by score are printed too.
    """
    if all_ and sample is not None:
        raise UsageError(f"--all and --sample {sample}; give one of them")
    _use(threads)
    runs_on = _engine(engine, address, workers, threads)
    own = ":" in space
    chosen = _space(space)
    names = _names(scorers)
    as_file = out_path is not None and out_path.name.endswith(FILES)
    if as_file and out_path is not None:
        _check_writable(out_path)
    table = _table(chosen, tables, trust) if tables else None
    column = None if table is None else table.column("accuracy", dataset or usual_dataset(table), split, epochs)
    pool, where = None, chosen.name
    if in_table:
        if table is None or column is None:
            raise UsageError("--in-table needs a table; give --table PATH-OR-NAME")
        pool, where = _with_accuracy(table, column, chosen), f"table {table.name!r}"
    if archs_path is not None:
        if in_table:
            raise UsageError(f"--in-table and --archs {archs_path}; give one of them")
        pool, where = _listed(archs_path, chosen, skip_bad), f"{str(archs_path)!r}"
    elif skip_bad:
        raise UsageError("--skip-bad is for the lines of a file; give --archs FILE")
    all_ = all_ or (sample is None and (own or archs_path is not None))
    archs = _architectures(chosen, pool, where, sample, all_, seed)
    if own:
        places = {name: place for place, name in enumerate(chosen)}
        archs.sort(key=places.__getitem__)  # what yields networks then runs through once
    accuracies = None if table is None or column is None else _accuracies(table, column, [str(arch) for arch in archs])
    steps: list[Step] = []
    try:
        with _progress(f"scoring {chosen.name}") as show:

            def watch(step: Step) -> None:
                steps.append(step)
                show(step)

            ranking = zs.score_many(
                chosen,
                archs,
                _images(images, batch, seed),
                names,
                engine=runs_on,
                store=None if as_file else out_path,
                tie_weights=tie_weights,
                precision=precision,  # type: ignore[arg-type]
                count=count,  # type: ignore[arg-type]
                seed=seed,
                device=device,
                progress=watch,
            )
    except KeyboardInterrupt:
        if out_path is None or as_file or not steps:
            raise _InterruptedError("interrupted, and no score is kept; --out FOLDER keeps them as they come") from None
        raise _InterruptedError(
            f"interrupted; {steps[-1].done:,} of {steps[-1].total:,} architectures have their scores in {out_path}, "
            "and the same command goes on from there"
        ) from None
    summary = _summary(ranking, images, steps)
    best = ranking.top(top)
    works = summary["failed"][names[0]] < len(ranking.frame)
    if accuracies is not None:
        best.insert(2, "accuracy", accuracies[best["arch"]].to_numpy())
        summary |= _regret(ranking, accuracies) if works else {}
    try:
        if as_file and out_path is not None:
            write_frame(ranking.to_pandas(), out_path)
    finally:
        if as_json:
            _print_json({"best": best.to_dict("records"), **summary})
        else:
            _print_ranking(best, ranking, summary)
    if out_path is not None and not as_json:
        out.print(f"scores are in {out_path}")
    if not works:
        first = ranking.frame["status"].iloc[0]
        raise ZeroscoreError(f"none of the {len(ranking.frame):,} architectures has a finite {names[0]}: {first}")


@app.command(epilog="Example: zeroscore search --method regularized_evolution --table table.csv --seconds 12000")
def search(
    space: SpaceName = "nasbench201",
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="random, naswot, regularized_evolution, assisted_evolution, guided_evolution, a plug-in's; or nsga2.",
        ),
    ] = "assisted_evolution",
    objectives: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="For nsga2: scorers, accuracy or costs of --table such as latency:edgegpu, separated by commas; "
            "min: or max: before a name overrides its direction. By default naswot,flops.",
        ),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(parser=_whole(1), metavar="N", help="Stop after N evaluations; by default 100.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(parser=_real, metavar="S", help="Stop after S simulated seconds.")
    ] = None,
    seed: Seed = 0,
    tables: Tables = None,
    dataset: Dataset = None,
    trust: Trust = False,
    images: Images = "noise",
    batch: Batch = 128,
    scorers: Annotated[str, typer.Option(metavar="NAME", help="The scorer that guides the search.")] = "naswot",
    scores: Annotated[
        Path | None,
        typer.Option(parser=_path, metavar="PATH", help="Use the scores that 'rank --out PATH' kept."),
    ] = None,
    count: Count = "application",
    precision: Precision = "auto",
    tie_weights: Ties = False,
    device: Device = None,
    threads: Threads = None,
    top: Top = 5,
    out_path: Annotated[
        Path | None, typer.Option("--out", parser=_path, metavar="PATH", help="Save the history as this .parquet file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search a space, by a table's accuracies or by the score alone.

    With --table, the searcher is told 12-epoch validation accuracies and pays for them in simulated training seconds.
    Method nsga2 looks for the architectures that no other one beats in all of --objectives, and prints them all.
    """
    _use(threads)
    chosen = zs.load_space(space)
    if objectives is not None and method != "nsga2":
        raise UsageError(f"--method {method} has one objective; leave out --objectives, or take --method nsga2")
    if method != "nsga2":
        SEARCHERS.get(method)
    (scorer,) = _names(scorers, most=1)
    budget = zs.Budget(evaluations, seconds) if (evaluations, seconds) != (None, None) else zs.Budget(evaluations=100)
    if out_path is not None:
        if out_path.suffix != ".parquet":
            raise UsageError(f"--out {str(out_path)!r}; a history is a .parquet file")
        _check_writable(out_path)
    table = _table(chosen, tables, trust) if tables else None
    if method == "nsga2":
        with _progress(method) as show:
            done = itertools.count(1)
            front = zs.search_front(
                chosen,
                objectives or "naswot,flops",
                budget,
                seed,
                table=table,
                images=None if scores is not None else _images(images, batch, seed),
                scores=None if scores is None else zs.load_ranking(scores),
                dataset=dataset,
                on_measured=lambda _: show(Step(next(done), budget.evaluations or 0, 0, 0, 0.0)),
                tie_weights=tie_weights,
                precision=precision,
                count=count,
                device=device,
            )
        basis = f"from {scores}" if scores is not None else f"on {batch} images of {images}, seed {seed}"
        _finish_front(front, basis, out_path, as_json)
        return
    dataset = dataset or ("cifar10" if table is None else usual_dataset(table))
    source: Any
    if scores is not None:
        source, options = _stored(scores, scorer, chosen, method, table is None)
        basis = f"{scorer} from {scores}"
    else:
        source = score_function(
            chosen,
            _images(images, batch, seed),
            scorer,
            tie_weights=tie_weights,
            precision=precision,  # type: ignore[arg-type]
            count=count,  # type: ignore[arg-type]
            seed=seed,
            device=device,
        )
        options, basis = {}, f"{scorer} on {batch} images of {images}, seed {seed}"
    counter = itertools.count(1)
    with _progress(method if budget.evaluations is not None else f"{method} (s)") as show:

        def told(trial: Any) -> None:
            done = next(counter)
            if budget.evaluations is not None:
                show(Step(done, budget.evaluations, 0, 0, 0.0))
            else:
                show(Step(int(trial.elapsed_s), int(budget.seconds or 0), 0, 0, 0.0))

        result = zs.search(chosen, method, table, budget, seed, score=source, dataset=dataset, on_trial=told, **options)
    try:
        if out_path is not None:
            result.save(out_path)
    finally:
        _print_search(result, scorer, basis, dataset, top, as_json)
    if out_path is not None and not as_json:
        out.print(f"the history is in {out_path}")
    if result.stopped == "interrupted":
        raise _InterruptedError(f"interrupted after {len(result.history)} evaluations")
    if not math.isfinite(result.best.value):
        raise ZeroscoreError(f"none of the {len(result.history)} architectures tried has a finite {result.objective}")


def _finish_front(front: zs.Front[Any], basis: str, out_path: Path | None, as_json: bool) -> None:
    """Save and print a multi-objective search, and fail where it has no front."""
    try:
        if out_path is not None:
            front.save(out_path)
    finally:
        _print_front(front, basis, as_json)
    if out_path is not None and not as_json:
        out.print(f"all {len(front.history):,} architectures are in {out_path}")
    if front.stopped == "interrupted":
        raise _InterruptedError(f"interrupted after {len(front.history)} evaluations")
    if not front.members:
        raise ZeroscoreError(f"none of the {len(front.history)} architectures tried has a finite value of everything")


@app.command(epilog="Example: zeroscore evaluate scores --table accuracy.csv")
def evaluate(
    scores: Annotated[Path, typer.Argument(parser=_path, metavar="SCORES", help="What 'rank --out' wrote.")],
    tables: Tables = None,
    space: Annotated[
        str | None, typer.Option(metavar="NAME", help="The search space; by default the one that SCORES are of.")
    ] = None,
    scorers: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Scorers to evaluate; by default all in SCORES.")
    ] = None,
    dataset: Dataset = None,
    split: Split = "test",
    epochs: Epochs = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Measure how well scores rank a table's accuracies.

    Every figure says its population and what became of failed scores.
    """
    if not tables:
        raise UsageError("evaluate needs accuracies; give --table PATH-OR-NAME")
    named = None if space is None else _space(space)
    ranking = zs.load_ranking(scores, None if scorers is None else _names(scorers))
    chosen = _space_of(ranking) if named is None else named
    table = _table(chosen, tables, trust)
    dataset = dataset or usual_dataset(table)
    column = table.column("accuracy", dataset, split, epochs)
    frames = []
    for name in ranking.scorers:
        frame = zs.evaluate(ranking, table, chosen, scorer=name, dataset=dataset, split=split, epochs=epochs)
        frame.insert(0, "scorer", name)
        frames.append(frame)
    result = pd.concat(frames, ignore_index=True)
    if as_json:
        facts = {"table": table.name, "column": column.column, "dataset": dataset, "split": split}
        _print_json({"measures": result.to_dict("records"), **facts})
        return
    # Where no score failed the two policies are one.
    shown = result[(result["failed"] > 0) | (result["neg_inf"] == "drop")]
    shown = shown.assign(neg_inf=shown["neg_inf"].where(shown["failed"] > 0, "drop, last"))
    _print_grid(shown, title=f"{scores} against {table.name}, {column}")
    out.print("population: all, or live: every operation lies on a path from input to output")
    out.print("neg_inf: scores that failed are left out (drop), or rank behind all others (last)")


@app.command(epilog="Example: zeroscore report scores --table accuracy.csv --out report.html")
def report(
    scores: Annotated[Path, typer.Argument(parser=_path, metavar="SCORES", help="What 'rank --out' wrote.")],
    tables: Tables = None,
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", parser=_path, metavar="PATH", help="The .html file to write.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="NAME", help="The search space; by default the one that SCORES are of.")
    ] = None,
    scorer: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the report is about; by default SCORES' first.")
    ] = None,
    dataset: Dataset = None,
    split: Split = "test",
    epochs: Epochs = None,
    trust: Trust = False,
    histories: Annotated[
        list[Path] | None,
        typer.Option(
            "--history", parser=_path, metavar="PATH", help="What 'search --out' wrote; repeat it for several."
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(metavar="ARCH", help="Whose overlap kernel to draw; by default the best by score."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="The images of SCORES, for the overlap kernel; by default noise, if it was noise."
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(parser=_whole(2), metavar="N", help="Images in the mini-batch, if SCORES do not say.")
    ] = 128,
    seed: Annotated[
        int, typer.Option(parser=_whole(0, 2**63 - 1), metavar="N", help="Of images and weights, likewise.")
    ] = 0,
    png: Annotated[
        Path | None,
        typer.Option(parser=_path, metavar="PATH", help="Also save the main plot: a .png, .pdf or .svg file."),
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the page.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Draw scores, accuracies and searches on one page.

    The page is one file that needs no network. Static baselines that SCORES lack are counted.
    """
    if not tables:
        raise UsageError("report needs accuracies; give --table PATH-OR-NAME")
    if out_path is None:
        raise UsageError("report needs a file to write; give --out report.html")
    _use(threads)
    check_targets(out_path, png)
    chosen = None if space is None else _space(space)
    ranking = zs.load_ranking(scores)
    named: dict[str, zs.SearchResult[Any]] = {
        name: zs.SearchResult.load(path) for name, path in _file_names(histories or []).items()
    }
    table = zs.load_table(*tables, trust=trust)
    with _progress("counting static baselines") as show:
        done = write_report(
            ranking,
            table,
            out_path,
            space=_space_of(ranking) if chosen is None else chosen,
            scorer=scorer,
            dataset=dataset,
            split=split,
            epochs=epochs,
            histories=named,
            arch=arch,
            images=images,
            batch=batch,
            seed=seed,
            picture=png,
            title=title,
            command=shlex.join(("zeroscore", *sys.argv[1:])),
            progress=show,
        )
    if as_json:
        _print_json({key: str(value) if isinstance(value, Path) else value for key, value in asdict(done).items()})
        return
    out.print(
        f"{done.path}: {done.architectures:,} architectures, {done.scorer} against {done.column} of {table.name}, "
        f"{done.bytes / 1e6:.1f} MB"
    )
    if done.failed:
        out.print(f"without a finite score, on a strip of their own: {done.failed:,}")
    if done.left_out:
        out.print(f"without an accuracy, left out: {done.left_out:,}")
    if done.kernel:
        out.print(f"no overlap kernel: {done.kernel}")
    if done.picture is not None:
        out.print(f"the main plot is in {done.picture}")


@table_app.command("list")
def table_list(as_json: Json = False) -> None:
    """List official tables and how to get them, and the tables installed here."""
    installed, folder = installed_tables(), tables_dir()
    rows = []
    official = {name: entry for entry in manifest().values() for name in (entry.name, *names_of(entry))}
    for name in dict.fromkeys((*manifest(), *installed)):
        entry, path = official.get(name), installed.get(name)
        own = path is not None and embedded().get(name) == path
        if entry and path is None and any(table in installed for table in names_of(entry)):
            path = folder / name
        rows.append(
            {
                "name": name,
                "title": entry and entry.title,
                "space": entry.space if entry else zs.load_table(name).space if own else None,  # type: ignore[attr-defined]
                "installed": path and str(path),
                "get": _how(entry, own),
                "licence": entry.licence if entry else "Apache-2.0" if own else None,
                "homepage": entry and entry.homepage,
                "paper": entry and entry.paper,
                "files": [asdict(file) for file in entry.files] if entry else [],
            }
        )
    if as_json:
        _print_json(rows)
        return
    shown = pd.DataFrame(rows)[["name", "space", "installed", "get", "licence"]]
    several = shown["space"].replace("", "several")
    _print_grid(shown.assign(space=several, installed=np.where(shown["installed"].isna(), "no", "yes")).fillna(""))
    out.print("'zeroscore table get NAME' downloads a table, or says how to get it by hand", soft_wrap=True)
    out.print(f"tables are looked up by name in {folder}", soft_wrap=True)


@table_app.command("get")
def table_get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An official table; 'zeroscore table list' has them.")],
    out_path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=_path,
            metavar="FOLDER",
            help="Where to put it; by default where tables are looked up by name.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Download an official table, or say how to get it by hand.

    What has come of it survives an interruption, and the published checksum is checked at the end.
    """
    one_of("official table", name, tuple(manifest()))
    entry, folder = manifest()[name], tables_dir() if out_path is None else out_path
    if not entry.files[0].url and not any((folder / file.name).exists() for file in entry.files):
        if as_json:
            files = [asdict(file) for file in entry.files]
            _print_json(
                {"name": name, "get": "by hand", "homepage": entry.homepage, "files": files, "into": str(folder)}
            )
        else:
            out.print(by_hand(entry, folder), soft_wrap=True)
    try:
        with _download_bar(name) as show:
            done = download(entry, folder, progress=show)
    except KeyboardInterrupt:
        part = part_of(entry, folder)
        if not part.exists():
            there = any((part.parent / file.name).exists() for file in entry.files)
            raise _InterruptedError("interrupted" if there else "interrupted; nothing has come yet") from None
        kept = f"interrupted; what has come is in {part}, and the same command goes on from there"
        raise _InterruptedError(kept) from None
    if as_json:
        _print_json(
            {
                "name": name,
                "paths": [str(path) for path in done.paths],
                "downloaded": done.fresh,
                "bytes": done.bytes,
                "sha256": done.sha256 or None,
                "published_checksum": done.published or None,
                "next": next_step(done),
            }
        )
        return
    count = len(done.paths)
    what = f"{count} tables in {done.paths[0].parent}" if count > 1 else str(done.paths[0])
    out.print(f"{what}{'' if done.fresh else ', there already'}: {done.bytes:,} bytes", soft_wrap=True)
    if done.published:
        out.print(f"the published {done.published} agrees")
    elif done.sha256:
        out.print(f"no published checksum; SHA-256 of what came: {done.sha256}", soft_wrap=True)
    out.print(f"next{f', for each of the {count}' if count > 1 else ''}: {next_step(done)}", soft_wrap=True)


@table_app.command("info")
def table_info(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE", help="A table's path or name; several are joined.")],
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Say what a table holds, which accuracy is the default, and what each column means."""
    table = zs.load_table(*tables, trust=trust)
    metrics = table.metrics()
    other = list(getattr(table, "other", ()))
    space = getattr(table, "space", "")
    if as_json:
        default = default_metric(table)
        facts = {
            "name": table.name,
            "space": space or None,
            "architectures": len(table),
            "datasets": datasets(metrics),
            "default": default and default.column,
            "columns": [{**asdict(metric), "estimated": metric.estimated} for metric in metrics],
        }
        _print_json({**facts, "other": other})
        return
    out.print(f"{table.name}: {len(table):,} architectures{space and f' of space {space}'}", style="italic")
    for line in summary(table):
        out.print(line)
    rows = [
        {
            "column": metric.column,
            "kind": metric.kind,
            "dataset": metric.dataset,
            "split": metric.split or "",
            "epochs": "" if metric.epochs is None else str(metric.epochs),
            "variant": f"{metric.variant} (an estimate)" if metric.estimated else metric.variant,
        }
        for metric in metrics
    ]
    if rows:
        _print_grid(pd.DataFrame(rows))
    if other:
        out.print(f"columns that answer no question: {', '.join(other)}")


@table_app.command("convert")
def table_convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A NATS-Bench file, folder or .tar, a NAS-Bench-201 .pth, a NAS-Bench-101 .tfrecord, an official "
            ".json, or a .csv.",
        ),
    ],
    target: Annotated[Path, typer.Argument(parser=_path, metavar="TARGET", help="The .parquet file to write.")],
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Turn a table into Parquet, once.

    A published checksum is checked first; the Parquet file opens at once and runs no code.
    """
    with _progress("converting") as show:
        done = convert(source, target, trust=trust, progress=lambda n, total: show(Step(n, total, n, total, 0.0)))
    if as_json:
        _print_json(
            {
                "source": str(done.source),
                "out": str(done.out),
                "space": done.space or None,
                "architectures": done.architectures,
                "columns": len(done.columns),
                "vouched_by": done.vouch.by,
                "md5": done.vouch.md5 or None,
            }
        )
        return
    of = done.space and f" of space {done.space}"
    out.print(f"{done.out}: {done.architectures:,} architectures{of}, {len(done.columns)} columns")
    by = {
        "checksum": "the published checksum",
        "trust": "you (--trust)",
        "nobody": "nobody: no checksum is published, and none is needed to read numbers",
    }
    out.print(f"vouched for by: {by[done.vouch.by]}")


@app.command()
def scorers(as_json: Json = False) -> None:
    """List the scorers: which way each points, what it reads and where it is from."""
    known = [SCORERS.get(name) for name in SCORERS.names()]
    if as_json:
        _print_json(
            {
                s.name: {"higher_is_better": s.higher_is_better, "reads": sorted(s.needs.names()), "source": s.source}
                for s in known
            }
        )
        return
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for column in ("scorer", "better", "reads", "source"):
        grid.add_column(column, overflow="fold")
    for scorer in known:
        better = "higher" if scorer.higher_is_better else "lower"
        grid.add_row(scorer.name, better, ", ".join(sorted(scorer.needs.names())), scorer.source)
    _show(grid)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has for zeroscore, and what is missing."""
    findings = examine()
    if as_json:
        _print_json({f.item: {"found": f.found or None, "note": f.note} for f in findings})
        return
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for column in ("", "found", "note"):
        grid.add_column(column, overflow="fold")
    for finding in findings:
        grid.add_row(finding.item, finding.found or "missing", finding.note)
    _show(grid)


def main() -> NoReturn:
    """Run the command line; 0 for success, 1 for a failure, 2 for a usage error, 130 for an interruption."""
    code = _run()
    try:
        sys.stdout.flush()
    except OSError as error:
        # Or else the interpreter tries again at exit, and complains in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or (1 if isinstance(error, BrokenPipeError) else _fail(str(error), 1))
    sys.exit(code)


def _run() -> int:
    # click's ClickException, of which typer may carry a copy of its own.
    click_error = typer.BadParameter.__mro__[2]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if not out.is_terminal:
        out.width = WIDE
    try:
        code = app(prog_name="zeroscore", standalone_mode=False)
    except UsageError as error:
        return _fail(str(error), 2)
    except _InterruptedError as error:
        return _fail(str(error), 130)
    except ZeroscoreError as error:
        return _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except click_error as error:  # type: ignore[misc]
        command = error.ctx.command_path if getattr(error, "ctx", None) else "zeroscore"
        return _fail(f"{error.format_message().rstrip('.')}; see '{command} --help'", error.exit_code)
    except OSError as error:
        return _fail(str(error), 1)
    # 130 is how typer reports Ctrl-C.
    return _fail("interrupted", 130) if code == 130 else int(code or 0)


class _InterruptedError(ZeroscoreError):
    """Ctrl-C, and what is left of the work."""


def _fail(message: str, code: int) -> int:
    err.print(f"error: {' '.join(message.split())}", soft_wrap=True)
    return code


def _need_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        err.print(context.get_help(), soft_wrap=True)
        raise typer.Exit(2)


def _use(threads: int | None) -> None:
    """Run on that many CPU threads; our own kernels follow torch."""
    torch.set_num_threads(min(torch.get_num_threads(), cores_given()) if threads is None else threads)


def _space(text: str) -> zs.Space[Any]:
    """A registered space, or networks of the user's own by the name of what has them."""
    return own_models(text) if ":" in text else zs.load_space(text)


def _space_of(ranking: zs.Ranking) -> zs.Space[Any]:
    """The space of kept scores, which may be of the user's own networks."""
    name = str(ranking.provenance.get("space", ""))
    return own_models(name) if ":" in name else space_of(ranking)


def _engine(name: str, address: str | None, workers: int | None, threads: int | None) -> str | Engine:
    if name == "ray":
        return ray_engine(address=address, workers=workers, threads=threads)
    for option, value in (("--address", address), ("--workers", workers)):
        if value is not None:
            raise UsageError(f"{option} {value} is for --engine ray, not for --engine {name}")
    return name


def _names(text: str, most: int | None = None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or (most is not None and len(names) > most):
        raise UsageError(f"--scorers {text!r}; expected {'one name' if most == 1 else 'names separated by commas'}")
    for name in names:
        SCORERS.get(name)
    return names


def _shape(text: str) -> tuple[int, int, int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part) <= 2**16 for part in parts):
        raise UsageError(f"--shape {text!r}; expected C,H,W such as 3,32,32")
    channels, height, width = (int(part) for part in parts)
    return channels, height, width


def _device(name: str | None) -> torch.device | None:
    """The device to move models to; None to leave them where they are."""
    if name is None:
        return torch.device("cuda") if torch.cuda.is_available() else None
    try:
        return torch.empty(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"cannot use device {name!r}: {str(error).splitlines()[0]}") from error


def _images(source: str, batch: int, seed: int, shape: tuple[int, int, int] = DEFAULT_SHAPE) -> torch.Tensor:
    try:
        return zs.load_images(source, batch, shape, seed)
    except (RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        size = "x".join(map(str, shape))
        raise ZeroscoreError(f"cannot make --batch {batch} images of {size} from {source!r}: {reason}") from error


def _with_accuracy(table: zs.Table, column: Metric, space: zs.Space[Any]) -> list[Any]:
    """The architectures that the table has this accuracy of."""
    there = table.values(column).dropna().index
    if there.empty:
        raise ZeroscoreError(f"table {table.name!r} has no {column.column} of any architecture")
    return [space.parse(str(text)) for text in there]


def _listed(path: Path, space: zs.Space[Any], skip_bad: bool) -> list[Any]:
    """Architectures of a file; what is none stops the command or, where it may be skipped, is said."""
    archs, refused = read_archs(path, space)
    if refused and not (skip_bad and archs):
        more = f" ({len(refused) - 1:,} more)" if len(refused) > 1 else ""
        hint = "; --skip-bad leaves such lines out" if archs else ""
        raise UsageError(f"line {refused[0].line} of {str(path)!r}: {refused[0].why}{more}{hint}")
    if refused:
        first = f"line {refused[0].line}: {refused[0].why}"
        err.print(f"{len(refused):,} line(s) of {path} are no architectures and left out; {first}", soft_wrap=True)
    return archs


def _architectures(
    space: zs.Space[Any], pool: list[Any] | None, where: str, sample: int | None, all_: bool, seed: int
) -> list[Any]:
    """All architectures of the space, or those of ``pool``, or a uniform draw of different ones."""
    size = getattr(space, "size", len(space)) if pool is None else len(pool)
    if all_:
        if size > MOST:
            raise UsageError(f"--all; {where} has {size:,} architectures, more than the {MOST:,} that fit; --sample N")
        return list(space) if pool is None else pool
    n = min(100, size) if sample is None else sample
    if n > size:
        raise UsageError(f"--sample {n}; {where} has {size:,} architectures, which --all ranks")
    rng = np.random.default_rng(seed)
    if pool is not None:
        return [pool[place] for place in rng.permutation(size)[:n]]
    chosen: dict[Any, None] = {}
    while len(chosen) < n:
        chosen[space.sample(rng)] = None
    return list(chosen)


def _how(entry: Entry | None, own: bool) -> str:
    if entry is None:
        return "comes with zeroscore" if own else "yours"
    return "download" if entry.files[0].url else "by hand"


def _table(space: zs.Space[Any], tables: Sequence[str], trust: bool) -> zs.Table:
    table = zs.load_table(*tables, trust=trust)
    check_space(table, space.name)
    return table


def _accuracies(table: zs.Table, column: Metric, archs: Sequence[str]) -> pd.Series[float]:
    """Accuracies of ``archs``, named by the column they are from."""
    found = table.values(column, archs).rename(column.column)
    for arch in found.index[found.isna()]:
        raise ZeroscoreError(f"table {table.name!r} has no {column.column} of architecture {arch!r}")
    return found


def _stored(
    path: Path, scorer: str, space: zs.Space[Any], method: str, told_scores: bool
) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
    """Kept scores and their seconds by architecture, and the searcher's options that go with them."""
    frame = zs.load_ranking(path, (scorer,)).frame
    source = dict(zip(frame["arch"], zip(frame[scorer], frame["seconds"], strict=True), strict=True))
    candidates = [space.parse(arch) for arch in source]
    if "candidates" in signature(SEARCHERS.get(method).make).parameters:
        return source, {"candidates": candidates}
    if told_scores and len(source) < len(space):
        raise UsageError(
            f"--method {method} asks for architectures that {str(path)!r} may lack: it has {len(source):,} of "
            f"{len(space):,}; leave out --scores, or take --method naswot"
        )
    return source, {}


def _file_names(paths: Sequence[Path]) -> dict[str, Path]:
    """Each path by the shortest end of it that no other path shares."""
    parts = [path.with_suffix("").parts for path in dict.fromkeys(paths)]
    for keep in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[-keep:]) for each in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, dict.fromkeys(paths), strict=True))
    return {str(path): path for path in paths}


def _check_writable(path: Path) -> None:
    """Fail now, and not after hours of scoring."""
    if path.is_dir():
        raise ZeroscoreError(f"cannot write --out {str(path)!r}: it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ZeroscoreError(f"cannot write --out {str(path)!r}: {error.strerror}") from error


def _score_target(
    target: Target,
    device: torch.device | None,
    images: torch.Tensor,
    scorers: tuple[Scorer, ...],
    count: str,
    precision: str,
    seed: int,
) -> tuple[zs.Score, ...]:
    try:
        with foreign():
            model = target.build(seed)
            if device is not None:
                model = model.to(device)
        evidence = Evidence(model, images, count, seed, precision, space=target.space)  # type: ignore[arg-type]
        return score_evidence(evidence, scorers)
    except UsageError:
        raise
    except MODEL_ERRORS as error:
        return tuple(zs.Score(math.nan, failure(error), 0.0, scorer.name) for scorer in scorers)


def _status(scores: Sequence[zs.Score]) -> str:
    """OK, or each way of failing with the scorers that met it."""
    met: dict[str, list[str]] = {}
    for one in scores:
        if not one.status.ok:
            met.setdefault(str(one.status), []).append(one.scorer)
    return "; ".join(f"{', '.join(names)} {status}" for status, names in met.items()) or "OK"


def _summary(ranking: zs.Ranking, images: str, steps: Sequence[Step]) -> dict[str, Any]:
    frame = ranking.frame
    unique_s = float(frame.drop_duplicates("canonical")["seconds"].sum())
    return {
        "architectures": len(frame),
        "networks": ranking.classes,
        "already_scored": steps[0].done,
        "scored_now": steps[-1].scored,
        "failed": {name: int((frame[f"{name}_status"] != "OK").sum()) for name in ranking.scorers},
        "reasons": frame.loc[frame["status"] != "OK", "status"].value_counts().to_dict(),
        "seconds": unique_s,
        "seconds_per_architecture": unique_s / len(frame),
        "images": images,
        "provenance": dict(ranking.provenance),
    }


def _regret(ranking: zs.Ranking, accuracies: pd.Series[float]) -> dict[str, Any]:
    # Ranks instead of scores: higher is better whatever the scorer's direction, and failed scores share the last place.
    ranks = ranking.aggregate(ranking.scorers[:1])
    found = regret(ranks, accuracies[ranks.index], len(ranks), neg_inf="last")
    return {
        "accuracy_of_best": found.accuracy,
        "best_accuracy": found.best,
        "regret": found.regret,
        "column": accuracies.name,
    }


def _print_ranking(best: pd.DataFrame, ranking: zs.Ranking, summary: Mapping[str, Any]) -> None:
    names = ranking.scorers
    codes = [
        ", ".join(f"{name} {row[f'{name}_status']}" for name in names if row[f"{name}_status"] != "OK") or "OK"
        for _, row in best.iterrows()
    ]
    shown = best.assign(status=codes)
    order = [name for name in ("accuracy", *names, "seconds", "status", "arch") if name in shown]
    _print_grid(shown[order], title=f"{len(best):,} best of {len(ranking.frame):,} by {names[0]}")
    for line in _sentences(summary, names):
        out.print(line)


def _sentences(summary: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    n, networks = summary["architectures"], summary["networks"]
    said = f"{n:,} architecture{'s' * (n > 1)}"
    if any(SCORERS.get(name).per_class for name in names):
        twins = f"{n - networks:,} answered by an isomorphic twin" if networks < n else "no two of them isomorphic"
        said += f", {networks:,} distinct network{'s' * (networks > 1)}: {twins}"
    yield said
    if summary["already_scored"]:
        yield f"{summary['already_scored']:,} of them were scored before; {summary['scored_now']:,} networks scored now"
    yield f"{summary['seconds']:.1f} s of scoring, {summary['seconds_per_architecture']:.3f} s an architecture"
    drawn = f"{summary['provenance']['batch']} of {summary['images']}, seed {summary['provenance']['seed']}"
    hint = "; --images takes a folder of pictures or an .npz file" if summary["images"] == "noise" else ""
    yield f"images: {drawn}{hint}"
    tied = ", with weights that all networks share" if summary["provenance"].get("tie_weights") else ""
    yield f"precision: {summary['provenance']['precision']}{tied}"
    if summary["reasons"]:
        failed = ", ".join(f"{name} {count:,}" for name, count in summary["failed"].items() if count)
        yield f"without a finite score, ranked last: {failed}"
        yield from (f"  {count:,} x {reason}" for reason, count in itertools.islice(summary["reasons"].items(), 3))
    if "regret" in summary:
        yield (
            f"accuracy of the best by {names[0]}: {summary['accuracy_of_best']:.2f} %, of the most accurate: "
            f"{summary['best_accuracy']:.2f} %, regret {summary['regret']:.2f} (column {summary['column']})"
        )


def _print_search(result: zs.SearchResult[Any], scorer: str, basis: str, dataset: str, top: int, as_json: bool) -> None:
    best, found = result.best, result.to_pandas()
    trials = found.sort_values("value", ascending=False, kind="stable").drop_duplicates("arch").head(top)
    if as_json:
        _print_json(
            {
                "best": str(best.arch),
                "value": best.value,
                "objective": result.objective,
                "accuracies": dict(result.accuracies),
                "evaluations": len(found),
                "simulated_seconds": result.elapsed_s,
                "stopped": result.stopped,
                "trials": trials.to_dict("records"),
                "scores": basis if found["score"].notna().any() else None,
                "provenance": dict(result.provenance),
            }
        )
        return
    # No score is shown where none was computed, or where it is the value itself.
    idle = ["score"] if result.objective == "score" or trials["score"].isna().all() else []
    by = scorer if result.objective == "score" else result.objective
    title = f"{len(trials):,} best of {len(found):,} trials of {result.searcher}, by {by}"
    _print_grid(trials.drop(columns=idle), title=title)
    spent = "seconds of scoring" if result.objective == "score" else "simulated seconds"
    out.print(f"{len(found):,} evaluations, {result.elapsed_s:,.0f} {spent}, stopped by: {result.stopped}")
    for split, accuracy in result.accuracies.items():
        out.print(f"{dataset} {split} accuracy of the best after its longest training: {accuracy:.2f} %")
    if found["score"].notna().any():
        out.print(f"scores: {basis}")
    for name in ("fitness", "cost"):
        if name in result.provenance:
            out.print(f"{name}: {result.provenance[name]}")


def _print_front(front: zs.Front[Any], basis: str, as_json: bool) -> None:
    names = [objective.name for objective in front.objectives]
    members = pd.DataFrame([(*m.values, str(m.arch)) for m in front.members], columns=[*names, "arch"])
    if as_json:
        _print_json(
            {
                "front": members.to_dict("records"),
                "objectives": {o.name: "max" if o.maximise else "min" for o in front.objectives},
                "hypervolume": front.hypervolume(),
                "reference": front.worst,
                "ideal": front.best,
                "evaluations": len(front.history),
                "simulated_seconds": front.history[-1].elapsed_s,
                "stopped": front.stopped,
                "scores": basis,
                "provenance": dict(front.provenance),
            }
        )
        return
    sought = ", ".join(map(str, front.objectives))
    _print_grid(members, title=f"front of {len(front.history):,} architectures: {len(members):,}, by {sought}")
    seconds = front.history[-1].elapsed_s
    out.print(f"{len(front.history):,} evaluations, {seconds:,.0f} seconds of scoring, stopped by: {front.stopped}")
    corners = (
        ", ".join(f"{name} {_cells(name, pd.Series([value]))[0]}" for name, value in corner.items())
        for corner in (front.worst, front.best)
    )
    out.print("hypervolume: {:.4f} of the box from {} to {}".format(front.hypervolume(), *corners))
    if any(name in SCORERS.names() for name in names):
        out.print(f"scores: {basis}")
    for name in names:
        if name in front.provenance:
            out.print(f"{name}: {front.provenance[name]}")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[Step], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task(what, total=None, eta="")

        def show(now: Step) -> None:
            eta = "" if math.isnan(now.eta_s) else f"{timedelta(seconds=math.ceil(now.eta_s))} left"
            bars.update(bar, completed=now.done, total=now.total, eta=eta)

        yield show


@contextmanager
def _download_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _print_grid(frame: pd.DataFrame, title: str | None = None) -> None:
    if "arch" in frame:
        # The long text goes last, where a narrow terminal folds it without tearing the figures apart.
        frame = frame[[*(column for column in frame if column != "arch"), "arch"]]
    if "status" in frame and (frame["status"] == "OK").all():
        frame = frame.drop(columns="status")
    if title is not None:
        out.print(title, style="italic")
    cells = {str(name): _cells(str(name), frame[name]) for name in frame}
    grid = _grid(frame, cells)
    natural = Measurement.get(out, out.options.update(max_width=WIDE), grid).maximum
    for name in ("arch", "model"):
        if natural > out.width and name in cells:
            room = out.width - natural + max(map(len, cells[name]))
            cells[name] = [_folded(text, max(room, 20)) for text in cells[name]]
            grid = _grid(frame, cells)
    _show(grid)


def _folded(text: str, width: int) -> str:
    """A cell's text with each node on a line of its own, and longer nodes broken after an edge.

    >>> print(_folded("|none~0|+|none~0|skip_connect~1|", 20))
    |none~0|+
    |none~0|
    skip_connect~1|
    """
    lines: list[str] = []
    for node in text.replace("+|", "+\n|").split("\n"):
        lines.append("")
        for edge in re.findall(r"[^|]*\|\+?|[^|]+$", node):
            if len(lines[-1]) > 1 and len(lines[-1]) + len(edge) > width:
                lines.append("")
            lines[-1] += edge
    return "\n".join(lines)


def _grid(frame: pd.DataFrame, cells: Mapping[str, Sequence[str]]) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in frame.columns:
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        grid.add_column(str(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in zip(*cells.values(), strict=True):
        grid.add_row(*row)
    return grid


def _show(grid: Grid) -> None:
    """Print without the blanks that fill up a table's last column."""
    with out.capture() as captured:
        out.print(grid)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _cells(name: str, column: pd.Series[Any]) -> list[str]:
    if not pd.api.types.is_float_dtype(column):
        return [f"{value:,}" if isinstance(value, int) else str(value) for value in column.tolist()]
    if name in ("params", "flops"):
        return [_count(value) for value in column]
    finite = column[np.isfinite(column)]
    form = ",.0f" if name not in ("seconds", "accuracy") and (finite == finite.round()).all() else ",.3f"
    return [format(value, form) for value in column]


def _count(value: float) -> str:
    """In millions where there are many.

    >>> _count(563_872.0), _count(1_280.0)
    ('0.56 M', '1,280')
    """
    return f"{value / 1e6:,.2f} M" if abs(value) >= 1e4 else f"{value:,.0f}"


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """``value`` as JSON has it: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
