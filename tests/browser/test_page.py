"""`vfeat browse` in a real browser: what a person does, and what the page then shows."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from benchmarks.report import make_dataset
from tests.browse.served import TOKEN, Served, serving
from tests.browser.chromium import Chromium, Tab
from tests.clipmaker.numbered import RATE, Coding, encode
from tests.engine.jobs import tiny_job
from vfeat.engine.watch import Watch
from vfeat.extract.run import ExtractRun

FRAMES = 250
# Reads the sixteen squares of the picture in the player, as tests.clipmaker.numbered draws them.
NUMBER = """(() => {
  const film = document.getElementById('video');
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
  const pen = canvas.getContext('2d');
  pen.drawImage(film, 0, 0, 64, 64);
  let number = 0;
  for (let k = 0; k < 16; k++) {
    const [red] = pen.getImageData(16 * (k % 4) + 8, 16 * Math.floor(k / 4) + 8, 1, 1).data;
    if (red > 127) number += 2 ** k;
  }
  return number;
})()"""
SHOWN = """(() => {
  const film = document.getElementById('video');
  return film.readyState >= 2 && !film.seeking && film.dataset.offset !== undefined;
})()"""


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Videos whose frames carry their numbers: one that browsers play, and two that they do not."""
    folder = tmp_path_factory.mktemp("numbered")
    videos = folder / "videos"
    videos.mkdir()
    encode(videos / "plays.mp4", FRAMES, Coding(b_frames=2))
    encode(videos / "converted.avi", FRAMES, Coding("mjpeg"))
    encode(videos / "copied.ts", FRAMES, Coding(group=25, container="mpegts"))
    shutil.copy(videos / "plays.mp4", videos / "gone.mp4")
    stage = ExtractRun(tiny_job(folder / "out", videos), Watch())
    try:
        assert stage.run().exit_code == 0
    finally:
        stage.close()
    (videos / "gone.mp4").unlink()
    with serving(str(folder / "out")) as served:
        yield served


def base(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}/{TOKEN}/"


def ids(served: Served) -> dict[str, str]:
    return {v["name"]: v["video"] for v in served.json("api/videos")["videos"]}


def text(tab: Tab, element: str) -> str:
    return str(tab.js(f"document.getElementById('{element}').textContent"))


def shown_number(tab: Tab) -> tuple[int, int]:
    """The number in the picture, and that of the frame that its second is of."""
    tab.until(SHOWN)
    # Stopped where it plays, the clock may be ahead of the picture: a seek brings both together.
    film = "document.getElementById('video')"
    tab.js(f"(film => {{ film.pause(); film.currentTime += 0.001; }})({film})")
    tab.until(SHOWN)
    second = tab.js(f"Number({film}.dataset.offset) + {film}.currentTime")
    return int(tab.js(NUMBER)), int(second * RATE + 1e-3)


@pytest.mark.parametrize("name", ["plays.mp4", "converted.avi", "copied.ts"])
def test_a_video_is_at_its_second(numbered: Served, browser: Chromium, name: str) -> None:
    """The frame that is really in the picture is that of the address, whatever the container."""
    tab = browser.tab(f"{base(numbered)}?video={ids(numbered)[name]}&t=6.2")
    tab.until(f"document.getElementById('playing').textContent === {json.dumps(name)}")
    tab.until(SHOWN)
    number, frame = shown_number(tab)
    assert number == frame
    assert 155 <= number < 155 + 5 * RATE  # it may have played on before it was stopped
    assert tab.problems == []


def test_a_click_on_a_result_seeks_to_it(numbered: Served, browser: Chromium) -> None:
    tab = browser.tab(base(numbered))
    assert tab.until("document.querySelectorAll('#results a').length") == 4
    video = ids(numbered)["plays.mp4"]
    tab.open(f"{base(numbered)}?like={video}@4.5")
    tab.until("document.querySelectorAll('#results a').length > 4")
    tab.js(f"""window.seeks = []; document.getElementById('video').addEventListener('seeked',
        (event) => window.seeks.push([event.target.currentTime, {NUMBER}]))""")
    cards = f"document.querySelectorAll('#results a[data-video=\"{video}\"]')"
    start_s = tab.js(f"Math.max(...[...{cards}].map((link) => Number(link.dataset.start)))")
    assert start_s >= 5
    tab.click(f'#results a[data-video="{video}"][data-start="{start_s:g}"]')
    tab.until("window.seeks.length")
    second, number = tab.js("window.seeks[0]")
    assert start_s <= second < start_s + 1  # it plays on
    assert abs(number - RATE * second) <= 1
    number, frame = shown_number(tab)
    assert number == frame >= RATE * start_s
    assert f"video={video}" in tab.js("location.search")
    assert f"t={start_s:g}" in tab.js("location.search")
    assert tab.until("document.querySelectorAll('#results a[aria-current=true]').length") == 1
    assert tab.problems == []


def test_an_address_shows_the_same_in_a_second_tab(numbered: Served, browser: Chromium) -> None:
    first = browser.tab(base(numbered))
    first.until("document.querySelectorAll('#results a').length")
    first.js("document.getElementById('where').focus()")
    first.type("start_s >= 3 and uri like '%plays%'")
    first.until("document.querySelectorAll('#results a').length === 7")
    first.click("#results a:nth-child(1)")
    first.until("document.getElementById('playing').textContent === 'plays.mp4'")
    first.until(SHOWN)
    second = browser.tab(first.js("location.href"))
    for tab in (first, second):
        tab.until("document.querySelectorAll('#results a').length > 0")
        tab.until("document.getElementById('found').textContent.startsWith('Clips like')")
    cards = "[...document.querySelectorAll('#results a')].map(a => a.getAttribute('href'))"
    assert first.js(cards) == second.js(cards)
    assert text(second, "playing") == "plays.mp4"
    assert second.js("document.getElementById('where').value").startswith("start_s >= 3")


def test_no_address_of_the_page_leads_out(numbered: Served, browser: Chromium) -> None:
    tab = browser.tab(base(numbered))
    for path in (
        "../../../../etc/passwd", "file/..%2f..%2f..%2fetc%2fpasswd", "file/%2e%2e/%2e%2e/passwd",
        "page/..%2f..%2fserver.py", "file//etc/passwd",
    ):  # fmt: skip
        status = tab.js(f"fetch({json.dumps(path)}).then(answer => answer.status)")
        assert status in (403, 404), path
    tab.open(f"{base(numbered)}?video=..%2f..%2fetc%2fpasswd")
    problem = tab.until("document.getElementById('problem').textContent")
    assert "no video" in problem or "nothing is here" in problem  # two requests, both refused
    tab.open(base(numbered).replace(TOKEN, "another-token"))
    assert "token" in tab.js("document.body.textContent")
    assert tab.js("document.querySelectorAll('video').length") == 0


def test_fifty_requests_at_once_leave_the_page_alive(numbered: Served, browser: Chromium) -> None:
    video = ids(numbered)["plays.mp4"]
    tab = browser.tab(f"{base(numbered)}?video={video}&t=2")
    found = tab.js(f"""Promise.all([...Array(50).keys()].map((n) => fetch(
        n % 2 ? `thumbnail/{video}?t=${{n / 6}}` : `api/search?like={video}&t=${{n / 6}}`)
        .then((answer) => answer.status)))""")
    assert found == [200] * 50
    number, frame = shown_number(tab)
    assert number == frame
    assert tab.problems == []


def test_an_error_is_shown_as_one(numbered: Served, browser: Chromium) -> None:
    tab = browser.tab(f"{base(numbered)}?where={quote('nonsense here')}")
    assert "The columns are" in tab.until(
        "(p => !p.hidden && p.textContent)(document.getElementById('problem'))"
    )
    tab.open(f"{base(numbered)}?video={ids(numbered)['gone.mp4']}&t=1")
    note = tab.until("document.getElementById('film-note').textContent")
    tab.until("document.getElementById('film-note').textContent.includes('cannot be played')")
    assert note
    tab.open(base(numbered))
    reason = "document.querySelector('#results').textContent.includes('no picture: ')"
    assert tab.until(reason)


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty short videos with labels and scores."""
    return make_dataset(tmp_path_factory.mktemp("thirty"), 30)


def test_labels_are_given_by_keys(thirty: Path, browser: Chromium, tmp_path: Path) -> None:
    """Least sure first: confirm, choose by a digit, write one out; the list goes on by itself."""
    path = tmp_path / "labels.csv"
    with serving(str(thirty), labels=str(path)) as served:
        tab = browser.tab(f"{base(served)}?order=unsure")
        tab.until("document.querySelectorAll('#results a').length === 36")
        hits = served.json("api/clips?order=unsure")["hits"]
        scores = [hit["label_score"] for hit in hits]
        assert scores == sorted(scores)
        tab.until("document.querySelectorAll('#choices button').length === 9")
        first_choice = tab.js("document.querySelector('#choices button').dataset.label")
        tab.press("n")
        for number, keys in enumerate((["c"], ["1"], ["l", 'my own, "label"', "Enter"])):
            tab.until(
                f"[...document.querySelectorAll('#results a')].findIndex("
                f"a => a.getAttribute('aria-current') === 'true') === {number}"
            )
            start = hits[number]["start_s"]
            tab.until(f"document.getElementById('judged').textContent.includes('0:0{int(start)}.')")
            for key in keys:
                tab.type(key) if len(key) > 5 and key != "Enter" else tab.press(key)
            tab.until(f"document.querySelectorAll('#results a.given').length === {number + 1}")
        assert "labels.csv: 3 labelled" in text(tab, "count")
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        labels = [hits[0]["label"], first_choice, 'my own, "label"']
        assert [row["label"] for row in rows] == labels
        assert [(row["uri"], float(row["start_s"])) for row in rows] == [
            (hit["uri"], hit["start_s"]) for hit in hits[:3]
        ]
        tab.open(f"{base(served)}?order=unsure")
        tab.until("document.querySelectorAll('#results a').length === 36")
        left = served.json("api/clips?order=unsure")["hits"]
        assert [h["clip"] for h in left[:33]] == [h["clip"] for h in hits[3:36]]
        assert tab.problems == []
