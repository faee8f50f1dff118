"""Where a report reads from: a bucket, the log of a run, predictions, vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.report.test_report import CLIPS, Page, assert_no_request, extract
from vfeat.engine.run_log import RunLog
from vfeat.report.projection import project
from vfeat.report.runs import read_runs
from vfeat.report.time_lines import Stretch, time_lines
from vfeat.report.video_scan import LongVideo
from vfeat.report.write import write_report
from vfeat.storage.remote import connect
from vfeat.storage.root import Root
from vfeat.surroundings import Surroundings, use
from vfeat.tables.kind import PREDICTIONS
from vfeat.tables.predictions import PredictionRow, predictions_table


def test_a_dataset_and_its_videos_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    fs, path = connect(bucket)
    name = '"><img src=x onerror=alert(1)>.mp4'
    fs.put_file(str(CLIPS / "cfr25_bframes.mp4"), f"{path}/in/{name}")
    out = f"{bucket}/out"
    assert extract(out, f"{bucket}/in/") == 0
    written = write_report(out, str(tmp_path / "page.html"))
    page = Page((tmp_path / "page.html").read_text())
    assert_no_request(page)
    assert written.pictures >= 1 and written.placeholders == 0
    assert name in page.text


class Clock(Surroundings):
    """Time that a test moves."""

    seconds = 0.0

    def now_s(self) -> float:
        return self.seconds

    def wall_s(self) -> float:
        return 1e9 + self.seconds


def test_the_log_of_a_run_gives_its_rate(tmp_path: Path) -> None:
    """A day of sums every half second are some hundred lines, and the rate that they came from."""
    root, name, clock = Root(str(tmp_path)), "20260101T000000-0a0a0a", Clock()
    day_s = 86_400
    with use(clock):
        log = RunLog(root, name)
        log.add("work", shards=1)
        for second in range(1, day_s):
            clock.seconds = float(second)
            rows = 5 * min(second, day_s // 2) + max(0, second - day_s // 2)
            log.progress(rows=rows, failed=0)
        log.add("end", exit_code=0, rows=rows)
        log.flush()
    lines = (tmp_path / "logs" / f"{name}.jsonl").read_text().splitlines()
    assert 300 < len(lines) < 1200
    _summary(tmp_path / "runs", name)
    total, [found] = read_runs(root)
    assert total == 1 and 3 <= len(found.rates) <= 130
    assert [rate for at, rate in found.rates if at < day_s / 3] == pytest.approx(
        [5.0] * sum(at < day_s / 3 for at, _ in found.rates)
    )
    assert found.rates[-1][1] == pytest.approx(1.0, rel=0.01)


def _summary(folder: Path, name: str) -> None:
    folder.mkdir()
    content = {
        "run": name, "started": "", "wall_s": 1.0, "exit_code": 0, "interrupted": False,
        "totals": {"noun": "clips", "rows": 1, "failed_units": 0}, "executor": "ray",
        "environment": {}, "encode_s": 1, "wait_s": 1, "decode_s": 1, "write_s": 1,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_damaged_run_files_cost_their_own_lines(tmp_path: Path) -> None:
    _summary(tmp_path / "runs", "20260101T000000-0a0a0a")
    for number, content in enumerate((b"{}", b"\xff", b"[1]", b'{"totals": 3}')):
        (tmp_path / "runs" / f"20260102T00000{number}-0a0a0b.json").write_bytes(content)
    total, found = read_runs(Root(str(tmp_path)))
    assert (total, len(found)) == (5, 1)


def test_windows_of_a_head_lie_along_its_video(tmp_path: Path) -> None:
    def row(index: int, window: int | None, start_s: float, label: str) -> PredictionRow:
        labels = ((label, 0.75), ("other", 0.25))
        return PredictionRow("0" * 32, "/a.mp4", index, "style", window, start_s, start_s + 8, 4,
                             labels, (1.0, 0.0))  # fmt: skip

    rows = [
        row(0, None, 0, "calm"),
        row(1, 0, 0, "calm"),
        row(2, 1, 4, "wild"),
        row(3, 2, 8, "wild"),
    ]
    (tmp_path / "predictions").mkdir()
    key = "predictions/p00001-00000.parquet"
    pq.write_table(predictions_table(rows, "p00001-00000"), tmp_path / key)
    video = LongVideo("0" * 32, "/a.mp4", 16.0, ((key, 0, len(rows)),))
    lost = LongVideo("1" * 32, "/b.mp4", 16.0, (("predictions/p00009-00000.parquet", 0, 1),))
    [found] = time_lines(Root(str(tmp_path)), PREDICTIONS, [video, lost])
    [line] = found.lines
    assert line.name == "style" and line.whole[0] == ("calm", 0.75)
    assert line.stretches == (Stretch(0, 4, "calm", 0.75), Stretch(4, 16, "wild", 0.75))


def test_groups_of_vectors_lie_apart_on_the_map() -> None:
    """By PCA, or by t-SNE where openTSNE is installed."""
    order = np.random.default_rng(3)
    centres = order.normal(size=(3, 32)) * 20
    vectors = np.concatenate([c + order.normal(size=(40, 32)) for c in centres]).astype(np.float32)
    found = project(vectors)
    assert found is not None and found.xy_N2.min() == 0 and found.xy_N2.max() == 1
    groups = found.xy_N2.reshape(3, 40, 2)
    middles = groups.mean(1)
    inside = np.linalg.norm(groups - middles[:, None], axis=2).max()
    apart = min(np.linalg.norm(middles[i] - middles[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert apart > 2 * inside
    assert project(np.ones((10, 4), np.float32)) is None
