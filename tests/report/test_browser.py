"""The page in a real browser: it runs without a network or a complaint, and shows what the numbers say."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import zeroscore as zs
from zeroscore.report import write_report
from zeroscore.report.pictures import VIRIDIS
from zeroscore.report.sweep import STATIC

from .conftest import SCORED, TABLE, Words, table_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
HOSTILE = "<script>window.owned=1</script>|<img src=x onerror=window.owned=1>|<!--</script x|&amp;{{ 7*7 }}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--enable-unsafe-swiftshader", *sandbox])
        yield chromium
        chromium.close()


@dataclass
class Seen:
    """An open page, and what it did."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def points(self) -> list[tuple[str, int]]:
        """Of each trace of the main plot, its type and number of points."""
        found = self.page.evaluate("document.getElementById('plot').data.map(trace => [trace.type, trace.x.length])")
        return [(kind, n) for kind, n in found]

    def shown(self, scored: int, failed: int) -> None:
        """Wait until so many points are drawn, and say what is there if they never are."""
        self.page.wait_for_timeout(200)
        counts = [n for _, n in self.points()]
        assert counts == [scored, failed]

    def hover(self, trace: int, at: int) -> str:
        """The label that pointing at a point brings up."""
        box = self.page.locator("#plot").bounding_box()
        x, y = self.page.evaluate(
            """([trace, at]) => {
                const plot = document.getElementById('plot'), {x, y, xaxis} = plot.data[trace];
                const axes = plot._fullLayout, across = xaxis === 'x2' ? axes.xaxis2 : axes.xaxis;
                return [across._offset + across.d2p(x[at]), axes.yaxis._offset + axes.yaxis.d2p(y[at])];
            }""",
            [trace, at],
        )
        self.page.mouse.move(5, 5)
        self.page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
        label = self.page.locator("#plot .hovertext text.nums")
        label.wait_for(timeout=5000)
        return "\n".join(label.locator("tspan.line").all_text_contents())


def visit(browser: Any, file: Path, **size: int) -> Seen:
    page = browser.new_page(viewport={"width": 1280, "height": 900, **size}, offline=True)
    seen = Seen(page)
    page.on("console", lambda said: seen.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("#plot .plotly")
    return seen


def pixels(picture: bytes) -> np.ndarray[Any, Any]:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.fixture(scope="module")
def truth(shared: Path) -> pd.DataFrame:
    """Every cell with its real score and accuracy."""
    frame = pd.read_parquet(SCORED).merge(pd.read_csv(shared / TABLE)[["arch", "c10_test_200_nats"]], on="arch")
    frame["convs"] = frame["arch"].str.count("conv")
    return frame.assign(failed=~np.isfinite(frame["naswot"]))


def opened(browser: Any, out: Path, shared: Path, cells: pd.DataFrame) -> Iterator[Seen]:
    # With made-up static counts, which saves the time to count.
    counts = {name: cells["arch"].str.count("conv") * 7.0 for name in STATIC}
    frame = cells.assign(**counts, **{f"{name}_status": "OK" for name in STATIC})
    ranking = zs.Ranking(frame, ("naswot", *STATIC), {})
    write_report(ranking, zs.load_table(shared / TABLE), out, images=shared / "cifar10_sample.npz")
    seen = visit(browser, out)
    yield seen
    assert seen.complaints == []
    assert seen.requests == [out.as_uri()]
    seen.page.close()


@pytest.fixture(scope="module")
def whole(browser: Any, tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Seen]:
    """All 15,625 cells, drawn by WebGL."""
    yield from opened(browser, tmp_path_factory.mktemp("whole") / "page.html", shared, zs.load_ranking(SCORED).frame)


@pytest.fixture(scope="module")
def part(browser: Any, tmp_path_factory: pytest.TempPathFactory, shared: Path, some: pd.DataFrame) -> Iterator[Seen]:
    """A few hundred cells, drawn as SVG."""
    kept = zs.load_ranking(SCORED).frame.merge(some[["arch"]], on="arch")
    yield from opened(browser, tmp_path_factory.mktemp("part") / "page.html", shared, kept)


@pytest.fixture(scope="module")
def some(truth: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([truth[truth["failed"]][:20], truth[~truth["failed"]][:380]])


def test_the_whole_space_is_drawn(whole: Seen, truth: pd.DataFrame) -> None:
    whole.page.locator("button[type=reset]").click()
    whole.shown(15_424, 201)
    assert whole.points()[0][0] == "scattergl"
    said = whole.page.locator("#shown").text_content()
    assert (
        said == "15,424 of 15,424 with a finite score shown, and 201 of 201 without one, on the grey strip at the left."
    )
    seen = pixels(whole.page.locator("#plot").screenshot()).reshape(-1, 3).astype(int)
    colours = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in VIRIDIS[2:7]]
    near = [(np.abs(seen - colour).max(axis=1) < 40).sum() for colour in colours]
    assert min(near) > 50
    assert (seen.min(axis=1) > 250).mean() > 0.5


def test_hover_names_the_cell_under_the_pointer_in_webgl(whole: Seen, truth: pd.DataFrame) -> None:
    """The three that lie farthest from any other on the screen."""
    scored = truth[~truth["failed"]].reset_index(drop=True)
    places = scored[["naswot", "c10_test_200_nats"]].to_numpy()
    places = (places - places.min(0)) / np.ptp(places, axis=0) * (900, 450)
    distance = torch.cdist(torch.from_numpy(places), torch.from_numpy(places)).fill_diagonal_(np.inf).amin(1).numpy()
    for at in np.argsort(-distance)[:3].tolist():
        assert_named(whole.hover(0, at), scored.iloc[at])
    whole.page.locator("#sizes input[value='2']").uncheck()
    left = truth[truth["convs"] != 2]
    whole.shown(int((~left["failed"]).sum()), int(left["failed"].sum()))


def assert_named(label: str, row: Any) -> None:
    lines = label.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("naswot: "))
    assert "".join(lines[:at]) == row["arch"]
    said = dict(line.split(": ", 1) for line in lines[at:])
    assert float(said["naswot"].replace(",", "")) == pytest.approx(row["naswot"], rel=1e-6)
    assert said["accuracy"] == f"{row['c10_test_200_nats']:.2f} %"
    assert (said["convolutions in the cell"], said["status"]) == (str(row["convs"]), "OK")


def test_the_other_plots_are_not_blank(part: Seen) -> None:
    kernel = pixels(part.page.locator("#kernel").screenshot())
    assert len(np.unique(kernel.reshape(-1, 3), axis=0)) > 100
    ticks = part.page.locator("#kernel .xtick text").all_text_contents()
    assert ticks == ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert part.page.locator("figure.card svg").count() == 7


def test_filters_leave_what_they_say(part: Seen, some: pd.DataFrame) -> None:
    page = part.page
    part.shown(380, 20)
    assert part.points()[0][0] == "scatter"
    page.locator("#sizes input[value='4']").uncheck()
    page.locator("#sizes input[value='1']").uncheck()
    left = some[~some["convs"].isin([1, 4])]
    part.shown(int((~left["failed"]).sum()), int(left["failed"].sum()))
    page.locator("#search").fill("|NOR_conv_3x3~0|+|")
    left = left[left["arch"].str.startswith("|nor_conv_3x3~0|+|")]
    assert len(left) > 10
    part.shown(int((~left["failed"]).sum()), int(left["failed"].sum()))
    listed = page.locator("#list tbody tr td:last-child").all_text_contents()
    assert listed == list(left[~left["failed"]].sort_values("naswot", ascending=False, kind="stable")["arch"][:10])
    page.locator("button[type=reset]").click()
    page.locator("#status").select_option("SINGULAR")
    part.shown(0, 20)
    page.locator("#status").select_option("OK")
    part.shown(380, 0)
    page.locator("#predictor").select_option(label="params")
    part.shown(400, 0)
    assert "no score failed" in page.locator("#shown").text_content()
    page.locator("button[type=reset]").click()
    part.shown(380, 20)


def test_hover_names_the_cell_under_the_pointer(part: Seen, some: pd.DataFrame) -> None:
    """Each alone on the screen, one of them without a score."""
    alone = some[~some["failed"]].iloc[17]
    part.page.locator("#search").fill(alone["arch"])
    part.shown(1, 0)
    assert_named(part.hover(0, 0), alone)
    failed = some[some["failed"]].iloc[7]
    part.page.locator("#search").fill(failed["arch"])
    part.shown(0, 1)
    label = part.hover(1, 0)
    assert label.replace("\n", "").startswith(failed["arch"])
    assert "naswot: none" in label
    assert "status: naswot SINGULAR: " in label
    part.page.locator("button[type=reset]").click()


def test_keys_alone_reach_and_work_the_filters(part: Seen, some: pd.DataFrame) -> None:
    page = part.page
    page.locator("#predictor").focus()
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.value"))
    assert reached == ["status", "search", *map(str, range(7))]
    page.locator("#search").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    left = some[some["convs"] > 0]
    part.shown(int((~left["failed"]).sum()), int(left["failed"].sum()))
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.locator("button[type=reset]").click()


def test_text_of_users_is_text(browser: Any, tmp_path: Path) -> None:
    """Markup in the names of architectures, table, searches, labels and title is shown and never obeyed."""
    archs = [HOSTILE, f"a{HOSTILE}", "<b>bold</b>"]
    status = [f"naswot SINGULAR: {HOSTILE}", "OK", "OK"]
    codes = ["SINGULAR", "OK", "OK"]
    frame = pd.DataFrame({"arch": archs, "canonical": archs, "naswot": [-np.inf, 1.5, 2.5], "status": status})
    frame = frame.assign(seconds=1.0, naswot_status=codes)
    out = tmp_path / "page.html"
    write_report(
        zs.Ranking(frame, ("naswot",), {}),
        table_of(archs, [50.0, 60.0, 70.0], name=HOSTILE),
        out,
        space=Words(),
        images=torch.randn(4, 3, 32, 32),
        labels=[HOSTILE, "b", HOSTILE, "b"],
        histories={HOSTILE: history(HOSTILE)},
        title=HOSTILE,
        command=f"zeroscore report {HOSTILE}",
    )
    seen = visit(browser, out)
    seen.shown(2, 1)
    page = seen.page
    assert page.title() == HOSTILE
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("figure.card code").all_text_contents() == ["<b>bold</b>", f"a{HOSTILE}", "<b>bold</b>"]
    assert page.locator("#searches .legendtext").first.text_content() == HOSTILE
    assert set(page.locator("#kernel .xtick text").all_text_contents()) == {HOSTILE, "b"}
    assert HOSTILE in seen.hover(0, 0).replace("\n", "")
    assert HOSTILE in seen.hover(1, 0).replace("\n", "")
    assert page.evaluate("window.owned") is None
    assert page.locator("script").count() == 3
    assert page.locator("img, iframe, object, link").count() == 0
    assert (seen.complaints, seen.requests) == ([], [out.as_uri()])
    page.close()


def test_the_page_may_not_speak_to_anybody(part: Seen) -> None:
    """Its own policy forbids it, whatever the network would allow."""
    blocked = part.page.evaluate(
        """async () => {
            const seen = [];
            document.addEventListener('securitypolicyviolation', event => seen.push(event.effectiveDirective));
            await fetch('http://127.0.0.1:9/').catch(() => null);
            const script = document.createElement('script');
            script.textContent = 'window.owned = 2';
            document.body.append(script);
            const image = new Image();
            image.src = 'http://127.0.0.1:9/a.png';
            await new Promise(done => setTimeout(done, 200));
            return [seen.sort(), window.owned || null];
        }"""
    )
    assert blocked == [["connect-src", "img-src", "script-src-elem"], None]
    part.complaints[:] = [said for said in part.complaints if "Content Security Policy" not in said]
    part.requests[:] = part.requests[:1]


def test_searches_are_drawn_by_what_they_optimise(browser: Any, tmp_path: Path, ranking: Any, table: Any) -> None:
    out = tmp_path / "page.html"
    histories = {"one": history("accuracy"), "two": history("accuracy", 3.0), "three": history("score")}
    write_report(ranking, table, out, histories=histories)
    seen = visit(browser, out, width=390)
    drawn = seen.page.evaluate(
        "[...document.querySelectorAll('#searches .plot')].map(p => p.data.map(t => [t.name, t.x, t.y]))"
    )
    assert drawn == [
        [["one", [1, 3, 6], [5, 5, 7]], ["two", [1, 3, 6], [8, 8, 10]]],
        [["three", [1, 3, 6], [5, 5, 7]]],
    ]
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.points() == [("scatter", 57), ("scatter", 3)]
    assert seen.complaints == []
    seen.page.close()


def history(objective: str, more: float = 0.0) -> zs.SearchResult[Any]:
    """Four trials, of which the first failed."""
    from zeroscore.search import Trial

    values = (float("nan"), 5.0 + more, 4.0 + more, 7.0 + more)
    trials = tuple(Trial("a", value, 1.0, at) for value, at in zip(values, (0.5, 1.0, 3.0, 6.0), strict=True))
    space = "words" if "<" in objective else "nasbench201"
    return zs.SearchResult("random", space, 0, zs.Budget(evaluations=4), objective, trials, "evaluations")
