"""The picture of a report in the README: `docs/pictures/report.png`.

    python -m benchmarks.report_picture demo-out/report.html

Needs Chromium. Parts of the page are cut out by their headings, so that the picture stays small.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

OUT = Path(__file__).parents[1] / "docs" / "pictures" / "report.png"
WIDTH = 1100
# Two rows of contact sheets and the map, without what stands between.
STYLE = """<style>
header, h2, h2 ~ p, .tiles, h3, h3 ~ p, .sheets ~ p { display: none; }
main .card, main details, .legend { display: none; }
#d1-labels { display: block; }
.sheets { display: grid; } .sheets .card:nth-child(-n+6) { display: block; }
main > section:first-child .card:has(.map) { display: block; }
.card:has(.map) .legend { display: flex; }
main > section ~ section, footer { display: none; }
.map canvas { aspect-ratio: 3; }
</style>"""


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    page = parser.parse_args().report.read_text()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no Chromium: install the package chromium, or Google Chrome")
    with tempfile.TemporaryDirectory() as folder:
        shown, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        shown.write_text(page.replace("</head>", f"{STYLE}</head>"))
        command = [
            browser, "--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu",
            f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},1600",
            "--virtual-time-budget=3000", f"--screenshot={shot}", shown.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        picture = cv2.imread(str(shot))
    assert picture is not None
    used = np.flatnonzero((picture != picture[-1, 0]).any(axis=(1, 2)))
    cut = picture[max(0, used[0] - 16) : used[-1] + 16]
    small = cv2.resize(cut, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    OUT.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(OUT), small, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{OUT}: {OUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
