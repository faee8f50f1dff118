"""Signs of a run: a log of events, and a description for other machines."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.commands import run, wait_until
from tests.engine.jobs import tiny_job
from vfeat.engine import presence
from vfeat.engine.presence import Presence, Sight
from vfeat.engine.watch import Totals, Watch
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import CircuitOpen
from vfeat.extract.run import ExtractRun, run_job
from vfeat.storage.root import Root
from vfeat.tables.active_runs import SILENT_S, ActiveRun, active_runs, remove_dead, write_active
from vfeat.tables.status import dataset_status

OTHER = ActiveRun(
    "20260101T000000-abcdef", "another-host", 4321, "2026-01-01T00:00:00+00:00", 0.0, "clips",
    100, 25, 1000, 250, 2.5, 3, "decoding", {"a": 2, "b": 1}, 4,
)  # fmt: skip
WORK = {"reading", "decoding", "the model", "the store"}


def events(out: Path) -> list[dict[str, object]]:
    [log] = (out / "logs").iterdir()
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_log_of_a_run_holds_its_plans_failures_and_end(own_clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sources = [own_clips / name for name in ("av1.mp4", "random_bytes.mp4")]
    assert run_job(tiny_job(out, *sources)).exit_code == 3
    found = [event for event in events(out) if event["event"] != "progress"]  # of a slow machine
    assert [event["event"] for event in found] == ["plan", "work", "failed", "end"]
    assert (found[0]["plan"], found[0]["videos"]) == ("p00001", 2)
    assert "random_bytes.mp4" in str(found[2]["message"])
    assert (found[3]["exit_code"], found[3]["rows"]) == (3, 2)
    assert all(str(event["time"]).startswith("20") for event in found)
    run_job(tiny_job(out, *sources))  # nothing to do: nothing is written
    assert len(list((out / "logs").iterdir())) == 1


def test_the_log_says_why_a_run_stopped(tmp_path: Path) -> None:
    folder, out = tmp_path / "garbage", tmp_path / "out"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.mp4").write_bytes(os.urandom(500))
    with pytest.raises(CircuitOpen):
        run_job(tiny_job(out, folder, breaker_first_units=4))
    last = events(out)[-1]
    assert last["event"] == "stopped" and "CircuitOpen" in str(last["error"])
    assert dataset_status(str(out)).running == []


def test_status_shows_a_run_from_any_machine_while_it_goes_on(
    own_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its listing to its last table, with what it waits for in each part."""
    monkeypatch.setattr(presence, "LOOK_S", 0.02)
    monkeypatch.setattr(presence, "EVERY_S", 0.05)
    out = tmp_path / "out"
    seen: list[ActiveRun] = []

    def shown(waits_for: set[str]) -> bool:
        now = dataset_status(str(out)).running
        seen.extend(now)
        return bool(now) and now[0].waits_for in waits_for

    class Look(Watch):
        def phase(self, name: str) -> None:
            if name == "closing":
                wait_until(lambda: shown({"the tables"}), 60, "the last part")

        def advanced(self, totals: Totals, workers: object) -> None:
            if totals.shards_done < totals.shards:
                wait_until(lambda: shown(WORK), 60, "a worker at work")

    class Slow(ExtractRun):
        def plan(self) -> Iterator[str]:
            wait_until(lambda: shown({"listing"}), 60, "the listing")
            yield from super().plan()
            wait_until(lambda: shown({"planning"}) and seen[-1].listed == 2, 60, "the planning")

    clips = [own_clips / name for name in ("av1.mp4", "random_bytes.mp4")]
    run = Slow(tiny_job(out, *clips, shard_minutes=0.0001), Look())
    summary = run.run()
    assert {one.run for one in seen} == {summary.run}
    last = seen[-1]
    assert (last.pid, last.noun, last.is_planned) == (os.getpid(), "clips", True)
    assert (last.done, last.shards, last.errors) == (last.planned, last.shards_done, 1)
    working = [one for one in seen if one.nodes]
    assert working and all(one.nodes == {socket.gethostname(): 1} for one in working)
    assert any(one.rate > 0 and one.left_s is not None for one in working)
    assert not seen[0].is_planned and seen[0].nodes == {}
    assert dataset_status(str(out)).running == []


def test_a_second_run_names_the_first_and_a_dead_one_is_forgotten(
    own_clips: Path, tmp_path: Path
) -> None:
    out, folder = tmp_path / "out", tmp_path / "videos"
    folder.mkdir()
    shutil.copy(own_clips / "one_frame.mp4", folder)
    run_job(tiny_job(out, folder))
    root, now_s = Root(str(out)), time.time()
    write_active(root, replace(OTHER, beat_s=now_s))
    write_active(root, replace(OTHER, run="20250101T000000-abcdef", beat_s=now_s - 2 * SILENT_S))
    assert [one.host for one in active_runs(root, now_s)] == ["another-host"]
    told: list[str] = []

    class Listen(Watch):
        def note(self, text: str) -> None:
            told.append(text)

    shutil.copy(own_clips / "av1.mp4", folder)
    ExtractRun(tiny_job(out, folder), Listen()).run()
    [note] = [text for text in told if "Another run" in text]
    assert "process 4321 on another-host" in note
    names = [path.name for path in (out / "runs").iterdir() if "active" in path.name]
    assert names == [f"{OTHER.run}.active.json"]
    shown = " ".join(run("status", out).stdout.replace("│", " ").split())
    assert (
        "another-host: 250 of about 1,000 clips, 25 of 100 shards, 4 errors, 2.50 clips/s with 3 "
        "workers on a (2), b (1), about 5 min 00 s left; most time goes to decoding"
    ) in shown
    [told_json] = json.loads(run("status", out, "--json").stdout)["running"]
    assert (told_json["left_s"], told_json["nodes"]) == (300.0, {"a": 2, "b": 1})
    remove_dead(root, now_s + 2 * SILENT_S)
    assert active_runs(root, now_s) == []


def test_a_run_whose_process_is_gone_is_dead_at_once_on_its_own_host(tmp_path: Path) -> None:
    root, now_s = Root(str(tmp_path / "out")), time.time()
    ended = subprocess.Popen(["true"])
    ended.wait()
    here = replace(OTHER, host=socket.gethostname(), beat_s=now_s)
    write_active(root, replace(here, pid=ended.pid))
    write_active(root, replace(here, pid=os.getpid(), run="20260102T000000-abcdef"))
    assert [one.pid for one in active_runs(root, now_s)] == [os.getpid()]
    assert [one.pid for one in remove_dead(root, now_s)] == [os.getpid()]
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("worker", "waits_for"),
    [
        (Progress(children=1, wait_s=3, encode_s=1, read_s=2, decode_s=1), "reading"),
        (Progress(children=1, wait_s=3, encode_s=1, read_s=1, decode_s=2), "decoding"),
        (Progress(children=1, wait_s=1, encode_s=3, read_s=2, decode_s=1), "the model"),
        (Progress(encode_s=1, read_s=3), "reading"),
        (Progress(encode_s=3, read_s=1), "the model"),
    ],
)
def test_what_clips_wait_for_has_a_name(tmp_path: Path, worker: Progress, waits_for: str) -> None:
    root = Root(str(tmp_path))
    sight = Sight(Totals(), (worker,), "starting", 1, is_planned=True, is_drained=False)
    Presence(root, OTHER.run, OTHER.started, lambda: sight).write()
    [shown] = active_runs(root, time.time())
    assert shown.waits_for == waits_for
