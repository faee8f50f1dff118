"""No password and no signature stays anywhere: they are planted, and every byte is searched."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from tests.cli.guarded_web import GuardedWeb, serve
from tests.engine.commands import TINY_FLAGS, environment, run, summary
from tests.engine.jobs import tiny_job, verified
from vfeat.engine.watch import Totals, Watch
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import StorageError
from vfeat.extract.run import ExtractRun, run_job
from vfeat.job.spec import ExtractJob
from vfeat.models import create_model
from vfeat.storage.root import Root
from vfeat.tables.status import open_errors

USER, SIGNED, LIST, WEIGHTS, REFUSED, NAMES = (
    f"PLANTED{name}SECRET" for name in ("User", "Signed", "List", "Weights", "Refused", "Names")
)


@pytest.fixture
def web(own_clips: Path, tmp_path: Path) -> Iterator[GuardedWeb]:
    folder = tmp_path / "served"
    for part in ("v", "private/folder", "model"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        shutil.copy(own_clips / "cfr25_faststart.mp4", folder / "v" / f"signed{number}.mp4")
    shutil.copy(own_clips / "web_page.mp4", folder / "v" / "no_video.mp4")
    shutil.copy(own_clips / "cfr25_faststart.mp4", folder / "v" / "refused.mp4")
    shutil.copy(own_clips / "vp9.webm", folder / "private" / "folder" / "mine.webm")
    with serve(folder) as served:
        # the client's own exception consists of the new address, which is none
        served.moved["/v/moved.mp4"] = f"http://:80/a.mp4?X-Amz-Signature={REFUSED}moved"
        served.signatures = {SIGNED, LIST, WEIGHTS, NAMES}
        served.users = {f"me:{USER}"}
        yield served


def write_list(path: Path, addresses: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["uri"], *([address] for address in addresses)])
    return path


def save_weights(path: Path) -> None:
    from safetensors.torch import save_file

    model = create_model(
        "videomamba", weights="random", img_size=32, num_frames=4, embed_dim=16, depth=1
    )
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


class StopAfterFirst(Watch):
    """Interrupts its run as soon as a shard is committed."""

    run: ExtractRun

    def advanced(self, totals: Totals, workers: tuple[Progress, ...]) -> None:
        if totals.shards_done and not self.run.interrupted:
            self.run.interrupt()


def stopped_early(job: ExtractJob) -> None:
    """Carry a job out until its first shard is committed."""
    watch = StopAfterFirst()
    watch.run = ExtractRun(job, watch)
    assert watch.run.run().exit_code == 130
    watch.run.close()


def assert_none_left(where: Path) -> None:
    """Search every file, and what Parquet has compressed, too."""
    looked = 0
    for path in where.rglob("*"):
        if not path.is_file():
            continue
        looked += 1
        content = [path.name.encode(), path.read_bytes()]
        if path.suffix == ".parquet":
            content += [repr(pq.read_table(path).to_pydict()).encode()]
        for text in content:
            assert b"PLANTED" not in text, f"{path}: {text[text.index(b'PLANTED') - 200 :][:300]!r}"
    assert looked > 3


def uris_of(out: Path) -> set[str]:
    rows = pq.read_table(out / "features", columns=["uri"]).column("uri").to_pylist()
    return {uri.rpartition("/")[2] for uri in rows}


Errors = dict[Any, int]


def on_ray(out: Path, sources: list[str], files: dict[str, str]) -> tuple[str, Errors]:
    """Run the command, search the logs of Ray, and return what was printed and the errors."""
    flags = [word for name, value in files.items() for word in (f"--{name}", value)]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as logs:  # short, for Ray's sockets
        result = run(
            "extract", *sources, "--out", out, "--json", *TINY_FLAGS, *flags, RAY_TMPDIR=logs
        )  # fmt: skip
        assert result.returncode == 3, result.stderr
        assert list(Path(logs).rglob("raylet.out"))
        assert_none_left(Path(logs))
    shown = run("errors", out)
    assert "http://:80/a.mp4" in shown.stdout
    return result.stdout + result.stderr + shown.stdout + shown.stderr, summary(result)["errors"]


def in_this_process(out: Path, sources: list[str], files: dict[str, str]) -> tuple[str, Errors]:
    """Carry out the same job, and return its summary and the errors."""
    fields = {"label_names" if n == "labels" else n.replace("-", "_"): v for n, v in files.items()}
    found = run_job(tiny_job(out, *sources, **fields))
    assert found.exit_code == 3
    return repr(found), dict(found.errors)


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_planted_secrets_are_used_and_left_nowhere(
    web: GuardedWeb, tmp_path: Path, executor: str, capfd: pytest.CaptureFixture[str]
) -> None:
    videos = [web.signed(f"v/signed{n}.mp4", SIGNED) for n in range(3)]
    others = [
        web.signed("v/no_video.mp4", SIGNED),
        web.signed("v/refused.mp4", REFUSED),
        web.signed("v/moved.mp4", SIGNED),
        web.of_user("folder/no such file.mp4", f"me:{USER}"),
    ]
    # a row with size and etag is not looked at before a worker reads it
    later = web.signed("v/refused.mp4", f"{REFUSED}later").replace("refused", "%72efused")
    path = write_list(web.folder / "list.csv", [*videos, *others])
    known = write_list(tmp_path / "known.csv", [])
    known.write_text(f"uri,size_bytes,etag\n{later},1000,abc\n")
    save_weights(web.folder / "model" / "w.safetensors")
    (web.folder / "model" / "names.txt").write_text("\n".join(map(str, range(400))))
    out = tmp_path / "out"
    sources = [
        web.of_user("folder/mine.webm", f"me:{USER}"), web.signed(path.name, LIST), str(known),
    ]  # fmt: skip
    files = {
        "weights": web.signed("model/w.safetensors", WEIGHTS),
        "labels": web.signed("model/names.txt", NAMES),
        "storage-patience-seconds": "1",
    }
    told, errors = (on_ray if executor == "ray" else in_this_process)(out, sources, files)
    assert "PLANTED" not in told + "".join(capfd.readouterr())
    # all that could be read was read, by the full address
    assert uris_of(out) == {"signed0.mp4", "signed1.mp4", "signed2.mp4", "mine.webm"}
    assert errors == {"storage": 4, "unreadable": 1}
    assert "/v/refused.mp4" in web.refused
    verified(out)
    assert_none_left(out)
    messages = pq.read_table(out / "errors.parquet").column("message").to_pylist()
    assert sum(f"http://{web.host}/v/" in message for message in messages) == 4, messages
    # of the client's message the harmless part stays
    assert sum("http://:80/a.mp4" in message for message in messages) == 1


@pytest.mark.parametrize(
    "fault",
    [
        "raise ValueError('at https://me:PLANTED@host/a?sig=PLANTED')",
        "threading.Thread(target=open, args=['https://h/a?b=PLANTED']).start()",
        "logging.getLogger('asyncio').error('lost: %s', 'https://h/a?b=PLANTED')",
        "print({'a': 'https://h/a?b=PLANTED'}); print('h', file=sys.stderr)",
    ],
)
def test_bugs_and_warnings_print_public_addresses(fault: str) -> None:
    setup = "import logging, sys, threading, vfeat.storage.remote; from vfeat.cli import terminal; "
    result = subprocess.run(
        [sys.executable, "-c", f"{setup} terminal.take_over_streams(); exec(input())"],
        input=fault, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = result.stdout + result.stderr
    assert "PLANTED" not in told and "h" in told and result.stderr


def test_a_list_that_is_signed_anew_reads_what_was_pending(web: GuardedWeb, tmp_path: Path) -> None:
    """The first signature expires; the second run has nothing but the second one to read with."""
    out, path = tmp_path / "out", tmp_path / "list.csv"
    job = tiny_job(out, path, shard_minutes=0.0001, storage_patience_seconds=1)
    write_list(path, [web.signed(f"v/signed{n}.mp4", SIGNED) for n in range(3)])
    stopped_early(job)
    assert len(uris_of(out)) == 1
    web.signatures = {LIST}
    write_list(path, [web.signed(f"v/signed{n}.mp4", LIST) for n in range(3)])
    web.served.clear()
    assert run_job(job).exit_code == 0
    assert len(uris_of(out)) == 3
    assert {signature for _, signature in web.served} == {LIST}
    assert verified(out).pending_shards == 0
    assert_none_left(out)


def test_a_video_whose_address_is_lost_is_an_error_that_a_later_list_mends(
    web: GuardedWeb, tmp_path: Path
) -> None:
    out, path, other = tmp_path / "out", tmp_path / "list.csv", tmp_path / "other.csv"
    fields = {"shard_minutes": 0.0001, "storage_patience_seconds": 1}
    write_list(path, [web.signed(f"v/signed{n}.mp4", SIGNED) for n in range(3)])
    stopped_early(tiny_job(out, path, **fields))
    write_list(other, [web.signed("v/signed0.mp4", SIGNED)])
    web.signatures = {SIGNED}
    assert run_job(tiny_job(out, other, **fields)).exit_code == 3  # two are not in this list
    errors = open_errors(str(out))
    assert {error["error_class"] for error in errors} == {"storage"}
    assert all("list it again" in error["message"] for error in errors)
    web.signatures = {LIST}
    write_list(path, [web.signed(f"v/signed{n}.mp4", LIST) for n in range(3)])
    assert run_job(tiny_job(out, path, retry_errors=["storage"], **fields)).exit_code == 0
    assert len(uris_of(out)) == 3 and open_errors(str(out)) == []
    assert_none_left(out)


@pytest.mark.parametrize("expired", [False, True])
def test_a_plan_of_an_earlier_version_is_read_and_not_copied(
    web: GuardedWeb, tmp_path: Path, expired: bool
) -> None:
    """It holds the addresses as they were listed: they are used, unless the list has new ones."""
    out, path, other = tmp_path / "out", tmp_path / "list.csv", tmp_path / "other.csv"
    addresses = [web.signed(f"v/signed{n}.mp4", SIGNED) for n in range(3)]
    job = tiny_job(out, write_list(path, addresses), shard_minutes=0.0001)
    stopped_early(job)
    plan = out / "plans" / "p00001.parquet"
    units = pq.read_table(plan)
    place = units.column_names.index("uri")
    full = pa.array([f"{uri}?X-Amz-Signature={SIGNED}" for uri in units["uri"].to_pylist()])
    older = units.set_column(place, units.schema.field("uri"), full).drop_columns("has_secret")
    pq.write_table(older.replace_schema_metadata(units.schema.metadata), plan)
    if expired:
        web.signatures = {LIST}
        write_list(path, [web.signed(f"v/signed{n}.mp4", LIST) for n in range(3)])
    else:
        job = tiny_job(out, write_list(other, addresses[:1]), shard_minutes=0.0001)
    web.served.clear()
    assert run_job(job).exit_code == 0
    assert len(uris_of(out)) == 3
    assert {signature for _, signature in web.served} == {LIST if expired else SIGNED}
    plan.unlink()  # nothing else holds them
    assert_none_left(out)


def test_a_password_of_the_output_is_used_and_not_stored(
    web: GuardedWeb, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fsspec.register_implementation("vault", Vault, clobber=True)
    place = tmp_path / "out"
    out = f"vault://me:{USER}@host{place}"
    path = write_list(tmp_path / "list.csv", [web.signed("v/signed0.mp4", SIGNED)])
    summary = run_job(tiny_job(out, path))
    assert summary.exit_code == 0 and summary.out == f"vault://host{place}"
    root = Root(out)
    assert "PLANTED" not in repr(root) + root.url("x") and root.address == out
    with pytest.raises(StorageError) as missing:
        root.read_bytes("nothing")
    assert "PLANTED" not in str(missing.value)
    assert uris_of(place) == {"signed0.mp4"}
    assert_none_left(place)
    assert "PLANTED" not in "".join(capfd.readouterr())


class Vault(LocalFileSystem):
    """A store that opens for one user; its files are on the disk."""

    protocol = "vault"

    def __init__(self, **options: Any) -> None:
        assert options.pop("user") == f"me:{USER}"
        super().__init__(auto_mkdir=True, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"user": path.partition("://")[2].rpartition("@")[0]}

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **options: Any) -> None:
        super().put_file(lpath, rpath, **options)
