"""Pictures of the page for the documents, of the demo's output.

make demo
python -m tests.browser.screenshots demo-out/features docs/pictures
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from tests.browse.served import TOKEN, serving
from tests.browser.chromium import Chromium, Tab, chromium, installed

COLOURS = 96
READY = """document.querySelectorAll('#results img').length > 0
    && [...document.querySelectorAll('#results img')].every((one) => one.complete
        || one.getBoundingClientRect().top > innerHeight + 800)"""
PLAYS = """(film => film.readyState >= 2 && !film.seeking)(document.getElementById('video'))"""


def still(tab: Tab) -> None:
    """Wait for all pictures in sight; stop the video."""
    tab.until(READY)
    if not tab.js("document.getElementById('player').hidden"):
        tab.until(PLAYS)
        tab.js("document.getElementById('video').pause()")


def write(tab: Tab, path: Path) -> None:
    """Write a picture of the window, with few colours, so that it stays small."""
    tab.js("""document.getElementById('address').textContent =
        document.getElementById('address').textContent.replace(/^.*(jobs.demo_clips)/, '$1')""")
    tab.picture(path)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def page(browser: Chromium, base: str, videos: dict[str, str], folder: Path) -> None:
    """Write the page with a video, in light and dark, and on a phone."""
    address = f"{base}?video={videos['passer_by.mp4']}&t=2.5"
    tab = browser.tab()
    for name, width, height, dark in (
        ("browse", 1180, 760, False), ("browse-dark", 1180, 760, True),
        ("browse-phone", 390, 1500, True),
    ):  # fmt: skip
        tab.show(width, height, dark=dark)
        tab.open(address)
        tab.until("document.getElementById('playing').textContent === 'passer_by.mp4'")
        still(tab)
        write(tab, folder / f"{name}.png")


def correcting(browser: Chromium, base: str, folder: Path) -> None:
    """Write the page while labels are given."""
    tab = browser.tab()
    tab.show(1180, 900)
    tab.open(f"{base}?order=unsure")
    still(tab)
    tab.until("document.querySelectorAll('#choices button').length > 3")
    tab.press("n")
    for number, key in enumerate("c2c"):
        tab.until("document.getElementById('judged').textContent.includes('in the dataset')")
        tab.press(key)
        tab.until(f"document.querySelectorAll('#results a.given').length === {number + 1}")
    tab.until("document.querySelectorAll('#results a.given').length === 3")
    tab.until("document.getElementById('judged').textContent.includes('in the dataset')")
    still(tab)
    tab.js("scrollTo({ top: 0, behavior: 'instant' })")
    write(tab, folder / "correcting.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    program = installed()
    assert program is not None, "no Chromium is installed"
    with chromium(program) as browser, tempfile.TemporaryDirectory() as given:
        with serving(options.features) as served:
            videos = {v["name"]: v["video"] for v in served.json("api/videos")["videos"]}
            page(browser, f"http://127.0.0.1:{served.port}/{TOKEN}/", videos, options.folder)
        with serving(options.features, labels=f"{given}/labels.csv") as served:
            correcting(browser, f"http://127.0.0.1:{served.port}/{TOKEN}/", options.folder)


if __name__ == "__main__":
    main()
