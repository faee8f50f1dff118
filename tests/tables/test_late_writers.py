"""In stores without conditional creates, an attempt with errors replaces no good rows."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.s3.proxy import Proxy
from vfeat.storage import object_root, root
from vfeat.storage.root import Root
from vfeat.tables import late_writers, layout
from vfeat.tables.publish import publish_file

SHARD = "p00001-00000"
KEY = f"features/{SHARD}.parquet"
GOOD, BAD = b"rows of all clips", b"errors"


def write(content: bytes) -> Callable[[str], None]:
    return lambda path: Path(path).write_bytes(content) and None


@pytest.fixture
def no_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests lose their conditions, as in a store that ignores them."""

    def without(make: Callable[[Any], object_root.Upload]) -> Callable[[Any], object_root.Upload]:
        def made(content: Any) -> object_root.Upload:
            upload = make(content)
            return lambda fs, path, extra: upload(
                fs, path, {name: value for name, value in extra.items() if name != "mode"}
            )

        return made

    for module in (root, object_root):
        for name in ("bytes_upload", "file_upload"):
            monkeypatch.setattr(module, name, without(getattr(module, name)))


def test_a_store_that_ignores_conditions_is_found_out_and_keeps_the_first(
    bucket: str, no_conditions: None
) -> None:
    out = Root(bucket)
    assert not out.keeps_conditions()
    assert out.create_bytes("a", b"first") and not out.create_bytes("a", b"second")
    assert out.read_bytes("a") == b"first"
    assert publish_file(out, KEY, write(GOOD))
    assert not publish_file(out, KEY, write(BAD), has_errors=True)
    assert out.read_bytes(KEY) == GOOD and out.list("") == {"a": 5} and out.list("index") == {}


def test_stores_that_keep_conditions_are_asked_once(bucket: str, proxy: Proxy) -> None:
    assert Root(bucket).keeps_conditions()
    before = len(proxy.asked)
    assert Root(f"{bucket}/folder").keeps_conditions()
    assert len(proxy.asked) == before


def test_a_store_that_refuses_conditions_has_none(bucket: str, proxy: Proxy) -> None:
    proxy.refuse_conditions = True
    assert not Root(bucket).keeps_conditions()


@pytest.mark.parametrize("bad_begins_first", [True, False])
def test_good_rows_stand_whoever_writes_last(
    bucket: str, no_conditions: None, monkeypatch: pytest.MonkeyPatch, bad_begins_first: bool
) -> None:
    """The attempt with errors finds the key free, and its upload ends behind that of the other."""
    out, may_end, has_begun = Root(bucket), threading.Event(), threading.Event()
    upload_of = root.file_upload

    def slow(path: str) -> object_root.Upload:
        upload, is_bad = upload_of(path), Path(path).read_bytes() == BAD

        def run(fs: Any, to: str, extra: dict[str, object]) -> object:
            if is_bad:
                has_begun.set()
                assert may_end.wait(60)
            return upload(fs, to, extra)

        return run

    monkeypatch.setattr(root, "file_upload", slow)
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(publish_file, out, KEY, write(BAD), has_errors=True)
        assert has_begun.wait(60)
        if not bad_begins_first:  # it ends before the other one looks
            monkeypatch.setattr(late_writers, "_wait_for_others", _after(may_end, bad.result))
        good = pool.submit(publish_file, out, KEY, write(GOOD))
        if bad_begins_first:
            while not out.exists(KEY):
                pass
            may_end.set()
        assert good.result(60) and bad.result(60)
    assert out.read_bytes(KEY) == GOOD
    stale = layout.marker_names(out.list(layout.INDEX))
    assert set(stale.values()) == {SHARD}, "readers look into the file, not into the index"


def _after(may_end: threading.Event, ended: Callable[[float], object]) -> Callable[..., bool]:
    def wait(out: Root, shard: str) -> bool:
        may_end.set()
        ended(60)
        return False

    return wait


def test_an_attempt_that_died_is_waited_for_no_longer_than_that(
    bucket: str, no_conditions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_writers, "WAIT_S", 0.0)
    out = Root(bucket)
    out.replace_bytes(f"index/late-{SHARD}-{uuid.uuid4().hex}", b"")
    assert publish_file(out, KEY, write(GOOD))
    assert out.read_bytes(KEY) == GOOD and not layout.announcements_of(SHARD, out.list("index"))
