"""`vfeat report` in a real browser: one file, no request, light and dark, on a phone."""

from __future__ import annotations

import pytest

from benchmarks.report import make_dataset
from tests.browser.chromium import Chromium
from vfeat.report.write import write_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    out = make_dataset(folder, 30)
    write_report(str(out), str(folder / "report.html"))
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("dark", [False, True])
def test_a_report_asks_for_nothing_and_fits_a_phone(
    report: str, browser: Chromium, dark: bool
) -> None:
    tab = browser.tab()
    colours = []
    for width in (1300, 360):
        tab.show(width, 800, dark=dark)
        tab.open(report)
        assert tab.js("document.documentElement.scrollWidth") <= width
        colours.append(tab.js("getComputedStyle(document.body).backgroundColor"))
        tab.scroll_to(".map canvas")
        box = "document.querySelector('.map canvas').getBoundingClientRect()"
        left, top, wide, high = tab.js(f"(r => [r.x, r.y, r.width, r.height])({box})")
        tip = "!document.querySelector('.map .tip').hidden"
        places = [(x / 20, y / 20) for x in range(1, 20) for y in range(1, 20)]
        for x, y in places:  # until the mouse is near a point that has a picture
            tab.point(left + x * wide, top + y * high)
            if tab.js(f"{tip} && document.querySelector('.map .tip img')?.naturalWidth > 0"):
                break
        assert tab.until(f"{tip} && document.querySelector('.map .tip img')?.naturalWidth > 0")
    dark_paper = [int(part) for part in colours[0][4:-1].split(",")]
    assert (sum(dark_paper) < 384) is dark
    assert {url for url in tab.requests if not url.startswith("data:")} == {report}
    assert tab.problems == []
