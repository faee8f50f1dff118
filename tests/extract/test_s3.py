"""From S3 to S3, against a real S3-API server: the same guarantees, and its faults."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vfeat
from tests.engine.commands import TINY_FLAGS, kill, run, start, wait_until
from tests.engine.jobs import tiny_job, verified
from tests.s3.proxy import Proxy
from tests.s3.server import S3Server
from vfeat.engine.watch import Watch
from vfeat.errors import StorageError
from vfeat.extract.run import ExtractRun, run_job
from vfeat.storage import Root
from vfeat.storage.listing import list_objects
from vfeat.tables.status import open_errors


def upload(bucket: str, folder: Path, prefix: str = "in") -> str:
    """Put a folder's files under a prefix; returns the source URI."""
    root = Root(f"{bucket}/{prefix}")
    for path in sorted(folder.iterdir()):
        root.create_file(path.name, path)
    return root.uri


@pytest.fixture
def source(bucket: str, own_clips: Path, tmp_path: Path) -> str:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("cfr25_bframes.mp4", "vp9.webm", "truncated_faststart.mp4", "web_page.mp4"):
        shutil.copy(own_clips / name, folder)
    shutil.copy(own_clips / "one_frame.mp4", folder / "à côté 映像 #1 50%.mp4")
    return upload(bucket, folder)


def test_the_table_is_the_local_one(source: str, bucket: str, tmp_path: Path) -> None:
    remote, local = f"{bucket}/out", tmp_path / "local"
    assert run_job(tiny_job(remote, source)).exit_code == 3
    assert run_job(tiny_job(local, tmp_path / "videos")).exit_code == 3
    report = verified(remote)
    assert report.rows == verified(local).rows

    def content(uri: str) -> list[tuple[object, ...]]:
        rows = vfeat.open(uri).to_arrow().to_pylist()
        return sorted(
            (Path(r["uri"]).name, r["clip_index"], r["start_s"], r["end_s"], tuple(r["embedding"]))
            for r in rows
        )

    for far, near in zip(content(remote), content(str(local)), strict=True):
        assert far[:4] == near[:4]
        assert far[4] == pytest.approx(near[4], rel=1e-3, abs=1e-4)  # batches differ
    assert run_job(tiny_job(remote, source)).nothing_to_do


def test_the_same_command_resumes_after_sigkill(source: str, bucket: str) -> None:
    out = f"{bucket}/out"
    command = [
        "extract", source, "--out", out, *TINY_FLAGS, "--shard-minutes", "0.0001",
        "--batch-size", "1",
    ]  # fmt: skip
    driver = start(*command)
    wait_until(lambda: bool(Root(out).list("features")), 120, "a commit")
    kill(driver)
    result = run(*command)
    assert result.returncode == 3, result.stderr
    assert verified(out).pending_shards == 0


def test_a_server_that_dies_and_comes_back_costs_only_time(
    source: str, bucket: str, s3: S3Server
) -> None:
    out = f"{bucket}/out"
    command = [
        "extract", source, "--out", out, *TINY_FLAGS, "--shard-minutes", "0.0001",
        "--batch-size", "1",
    ]  # fmt: skip
    driver = start(*command)
    wait_until(lambda: bool(Root(out).list("plans")), 120, "the plan")
    s3.kill()
    time.sleep(8)
    s3.start()
    _, errors = driver.communicate(timeout=240)
    assert driver.returncode == 3, errors
    report = verified(out)
    assert report.pending_shards == 0
    with Root(out).open_input("errors.parquet") as file:
        classes = pq.read_table(io.BytesIO(file.read())).column("error_class").to_pylist()
    assert "storage" not in classes


def test_a_store_that_is_away_for_longer_than_a_child_waits_costs_no_video(
    source: str, bucket: str, s3: S3Server, tmp_path: Path
) -> None:
    """Children give up after half of the decode time-out; the worker does not."""
    out = tmp_path / "out"

    class Outage(Watch):
        def phase(self, name: str) -> None:
            if name == "starting":
                s3.kill()
                threading.Timer(12.0, s3.start).start()

    job = tiny_job(out, source, decode_timeout_seconds=4.0, storage_patience_seconds=90.0)
    summary = ExtractRun(job, Outage()).run()
    assert "storage" not in summary.errors
    assert summary.totals.rows > 10
    verified(out)


def test_an_object_that_is_deleted_after_its_listing_is_one_error_at_once(
    source: str, bucket: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    class Delete(Watch):
        def phase(self, name: str) -> None:
            if name == "starting":
                Root(source).delete("vp9.webm")

    summary = ExtractRun(tiny_job(out, source), Delete()).run()
    assert summary.errors["storage"] == 1
    [error] = [e for e in open_errors(str(out)) if e["error_class"] == "storage"]
    assert error["uri"].endswith("vp9.webm") and "does not exist" in error["message"]
    verified(out)


def test_a_wrong_secret_is_one_sentence(source: str, bucket: str) -> None:
    result = run(
        "extract", source, "--out", f"{bucket}/out", *TINY_FLAGS, AWS_SECRET_ACCESS_KEY="wrong"
    )
    assert result.returncode == 5
    assert "AWS_SECRET_ACCESS_KEY" in result.stderr and "Traceback" not in result.stderr


def test_a_bucket_that_is_not_there_is_one_sentence(s3: S3Server, bucket: str) -> None:
    result = run("extract", "s3://no-such-bucket-here/x", "--out", f"{bucket}/out", *TINY_FLAGS)
    assert result.returncode in (2, 5)
    assert "no-such-bucket-here" in result.stderr and "Traceback" not in result.stderr


def test_an_unreachable_out_is_told_after_the_patience(
    own_clips: Path, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(StorageError):
        run_job(
            tiny_job(f"{bucket}/out", own_clips / "one_frame.mp4", storage_patience_seconds=1.0)
        )


def test_every_byte_of_a_video_is_read_once_and_nothing_is_asked_beside(
    source: str, bucket: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing with sizes and etags costs no request, and a video one GET of all its bytes."""
    rows = [
        {"uri": item.uri, "size": item.size_bytes, "etag": item.etag}
        for item in list_objects(source)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet")
    proxy = Proxy(s3.ports["proxy"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    summary = run_job(tiny_job(tmp_path / "out", tmp_path / "list.parquet"))
    monkeypatch.undo()
    proxy.close()
    assert summary.totals.rows > 10
    assert Counter(proxy.asked) == {"GET": len(rows)}
    total = sum(row["size"] for row in rows)
    assert total <= proxy.down_bytes < total + 2000 * len(rows)


def test_an_object_that_changes_after_its_listing_is_read_as_it_is_now(
    bucket: str, own_clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(own_clips / "one_frame.mp4", folder / "a.mp4")
    source, out = upload(bucket, folder), f"{bucket}/out"

    class Replace(Watch):
        def phase(self, name: str) -> None:
            if name == "starting":
                Root(source).replace_file("a.mp4", own_clips / "vp9.webm")

    summary = ExtractRun(tiny_job(out, source), Replace()).run()
    assert (summary.exit_code, summary.totals.changed_videos) == (0, 1)
    assert summary.videos == {"complete": 1, "gone": 1}
    assert summary.totals.rows == 3
    assert run_job(tiny_job(out, source)).nothing_to_do
    verified(out)


def test_two_drivers_at_once_commit_each_clip_once(source: str, bucket: str) -> None:
    """The store's conditional create is what keeps them apart; both end well."""
    out = f"{bucket}/out"
    ends: list[int] = []

    def drive() -> None:
        result = run("extract", source, "--out", out, *TINY_FLAGS, "--executor", "inline")
        ends.append(result.returncode)

    threads = [threading.Thread(target=drive) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verified(out).pending_shards == 0
    assert len(Root(out).list("plans")) == 1
    assert set(ends) <= {0, 3}
