"""`vfeat report`: what the page holds, and what it can never do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tracemalloc
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.report import make_dataset
from tests.engine.commands import run
from tests.engine.jobs import tiny_job
from vfeat.engine.watch import Watch
from vfeat.errors import ERROR_CLASSES, JobError, StorageError
from vfeat.extract.run import ExtractRun
from vfeat.report.advice import ADVICE
from vfeat.report.series import Series, draw, steps
from vfeat.report.time_lines import Stretch, merge
from vfeat.report.write import write_report

CLIPS = Path(__file__).parents[1] / "clips"
BOX = Path(__file__).parents[2] / "vfeat" / "box"
EVIL = [
    '"><img src=x onerror=alert(1)>.mp4',
    "{{ 7*7 }}<!--.mp4",
    "\x1b[31m\u202egpj\n.mp4",
    "<script>alert(1)&amp;.mp4",
]
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements of a page, checked to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open and self._open[-1] == "script" else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, attrs in self.elements if (value := attrs.get(name)) is not None]


def extract(out: Path | str, *sources: Path | str) -> int:
    stage = ExtractRun(tiny_job(out, *sources), Watch())
    try:
        return stage.run().exit_code
    finally:
        stage.close()


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on videos with evil names, of which one is gone, and on files that are none."""
    folder = tmp_path_factory.mktemp("evil")
    videos = folder / "videos"
    videos.mkdir()
    for name in EVIL:
        shutil.copy(CLIPS / "cfr25_bframes.mp4", videos / name)
    shutil.copy(CLIPS / "cfr25_bframes.mp4", videos / "gone.mp4")
    shutil.copy(CLIPS / "random_bytes.mp4", videos / "<b>random.mp4")
    shutil.copy(CLIPS / "audio_only.mp4", videos)
    assert extract(folder / "out", videos) == 3
    (videos / "gone.mp4").unlink()
    return folder


@pytest.fixture(scope="module")
def evil_page(evil: Path) -> Page:
    write_report(str(evil / "out"), str(evil / "report.html"))
    return Page((evil / "report.html").read_text())


def assert_no_request(page: Page) -> None:
    """Nothing that a browser fetches, and a policy that would not let it."""
    assert page.tags.keys().isdisjoint({"link", "iframe", "object", "embed", "base", "form"})
    for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
        for value in page.attributes(name):
            assert value.startswith(("#", "data:image/jpeg;base64,")), value
    [policy] = [v for v in page.attributes("content") if v.startswith("default-src")]
    script = next(text for text in page.scripts if "use strict" in text)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert not re.search(r"(fetch|XMLHttpRequest|import)\s*\(", script)


def test_a_page_requests_nothing(evil_page: Page) -> None:
    assert_no_request(evil_page)


def test_an_evil_name_is_only_text(evil_page: Page) -> None:
    for _, attributes in evil_page.elements:
        assert not [name for name in attributes if name.startswith("on")], attributes
    assert len(evil_page.scripts) == 2  # the data of the map, and the script of the page
    assert "{{ 7*7 }}<!--.mp4" in evil_page.text
    assert '"><img src=x onerror=alert(1)>.mp4' in evil_page.text
    assert "\\x1b[31m\\u202egpj\\n.mp4" in evil_page.text
    assert "<script>alert(1)&amp;.mp4" in evil_page.text
    assert "<b>random.mp4" in evil_page.text
    assert "<" not in evil_page.scripts[0]


def test_pictures_are_real_and_a_missing_video_is_a_placeholder(evil_page: Page) -> None:
    pictures = [v for v in evil_page.attributes("src") if v.startswith("data:image/jpeg;base64,")]
    assert len(pictures) >= len(EVIL)
    for source in pictures:
        assert base64.b64decode(source.partition(",")[2]).startswith(b"\xff\xd8")
    reasons = [v for v in evil_page.attributes("aria-label") if v.startswith("No picture of")]
    for name in ("gone.mp4", "<b>random.mp4", "audio_only.mp4"):
        assert [reason for reason in reasons if name in reason and len(reason) > 40], name


def test_errors_come_with_advice(evil_page: Page) -> None:
    assert set(ADVICE) == set(ERROR_CLASSES)
    for name in ("unreadable", "no_video"):
        assert name in evil_page.text
        assert ADVICE[name].meaning in evil_page.text  # type: ignore[index]


def test_a_page_can_be_heard_and_walked(evil_page: Page) -> None:
    """Each picture, drawing and table has a name; headings descend by one; ids are unique."""
    for tag, attributes in evil_page.elements:
        if tag == "img":
            assert attributes.get("alt")
        if tag == "svg":
            assert attributes.get("aria-hidden") or attributes.get("aria-label")
        if tag == "canvas":
            assert attributes.get("tabindex") == "0" and attributes.get("aria-label")
    levels = [int(tag[1]) for tag, _ in evil_page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = evil_page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in evil_page.attributes("href")} <= set(ids)
    assert dict(evil_page.elements)["html"]["lang"] == "en"


def test_the_map_holds_every_clip(evil: Path, evil_page: Page) -> None:
    data = json.loads(evil_page.scripts[0])
    rows = json.loads(run("show", evil / "out", "--json").stdout)
    assert len(data["points"]) == len(rows)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, *_ in data["points"])
    assert max(point[5] for point in data["points"]) == len(data["pictures"]) - 1


def test_the_command_names_its_file(evil: Path) -> None:
    page = evil / "by command.html"
    done = run("report", evil / "out", "--to", page, "--videos", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["path"] == str(page) and told["size_bytes"] == page.stat().st_size
    assert told["videos"] == len(EVIL) + 3
    assert_no_request(Page(page.read_text()))
    assert run("report", evil / "videos").returncode == JobError.exit_code
    nowhere = run("report", evil / "out", "--to", evil / "no" / "file.html", "--videos", "0")
    assert nowhere.returncode == StorageError.exit_code
    assert not list(evil.glob(".*"))


@pytest.mark.parametrize("name", ["camera_style", "videomamba_motion"])
def test_a_training_shows_its_curves(name: str, tmp_path: Path) -> None:
    written = write_report(str(BOX / name), str(tmp_path / "page.html"))
    assert (written.datasets, written.trainings) == (0, 1)
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert_no_request(page)
    history = json.loads((BOX / name / "metrics.json").read_text())["history"]
    for line in re.findall(r'<polyline class="s\d" points="([^"]+)"', text):
        assert len(line.split()) == len(history)
    assert page.tags["polyline"] >= 3
    assert "validation loss" in page.text and "validation score" in page.text


def test_damaged_metrics_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"history": 7}')
    with pytest.raises(StorageError, match=r"metrics\.json is not as a training"):
        write_report(str(tmp_path), str(tmp_path / "page.html"))


def test_a_large_dataset_costs_no_more_page_than_a_small_one(tmp_path: Path) -> None:
    """The short form of `benchmarks/report.py`."""
    sizes, held = {}, {}
    for videos in (400, 4000):
        out, page = make_dataset(tmp_path / str(videos), videos), tmp_path / f"{videos}.html"
        tracemalloc.start()
        written = write_report(str(out), str(page), most_videos=4)
        held[videos] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sizes[videos] = written.size_bytes
        assert written.videos == videos
        assert_no_request(Page(page.read_text()))
        assert f"{videos // 100 or 1:,}" in page.read_text()
    assert sizes[4000] < 1.5 * sizes[400] + 100_000 < 2_000_000
    assert held[4000] < held[400] + 8e6  # 10,800 rows more: an object for each would be more


def test_a_sample_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfeat.report.row_sample.MOST_FILES", 1)
    out = make_dataset(tmp_path, 2500)
    written = write_report(str(out), str(tmp_path / "page.html"), most_videos=0)
    text = Page((tmp_path / "page.html").read_text()).text
    assert written.is_sampled and written.rows_read < 3 * 2500
    assert "come from a sample" in text and f"{written.rows_read:,} rows, of 1 of" in text
    assert "2,500" in text  # the totals are of all videos
    assert written.pictures == 0


def test_stretches_join_and_end_where_the_next_begins() -> None:
    clips = [Stretch(0, 2, "a", 0.5), Stretch(1, 3, "a", 1.0), Stretch(2, 4, "b", 0.25)]
    assert merge(clips) == [Stretch(0, 2, "a", 0.75), Stretch(2, 4, "b", 0.25)]


def test_axes_reach_around_all_points() -> None:
    for low, high in ((0.0, 1.0), (-3.0, 7e6), (2e-9, 3e-9), (5.0, 5.0)):
        ticks = steps(low, high)
        assert ticks[0] <= low + 1e-9 * abs(low) and ticks[-1] >= high - 1e-9 * abs(high)
        assert 2 <= len(ticks) <= 12
    assert draw("", "", "", [Series("one", ((1.0, float("nan")), (2.0, 1.0)))]) is None
