"""A dataset root in an object store: S3, or anything else that fsspec reaches."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, BinaryIO, cast

from vfeat.storage.failures import MissingObject, answer_of, is_expected, is_transient
from vfeat.storage.remote import connect, s3_pages
from vfeat.storage.remote_file import RemoteFile
from vfeat.storage.retry import call_with_retries
from vfeat.storage.swept import SweepReport
from vfeat.storage.unfinished_uploads import abort_stale_uploads
from vfeat.storage.uris import is_s3, split_s3
from vfeat.surroundings import here

PART_BYTES = 32 << 20  # larger objects go up in parts of this size; twice this fits one PUT
_PARTS_AT_ONCE = 4
_BATCH_KEYS = 1000  # as many as one request may remove
_WRITER = "vfeat-writer"  # user metadata: the attempt that wrote the object

# whether a store, by endpoint and bucket, keeps the condition of a create
_keeps: dict[tuple[str, str], bool] = {}
_asking = threading.Lock()

# uploads to `path`, with what else the store's call takes
Upload = Callable[[Any, str, dict[str, object]], object]


class ObjectRoot:
    """Keys as objects below one prefix. An object is there whole, or not at all."""

    def __init__(self, uri: str, patience_s: float) -> None:
        self.uri = uri.rstrip("/")
        self.patience_s = patience_s

    def url(self, key: str) -> str:
        return f"{self.uri}/{key}" if key else self.uri

    def open_input(self, key: str) -> BinaryIO:
        file = RemoteFile(self.url(key), patience_s=self.patience_s, from_end=True)
        return cast(BinaryIO, file)

    def read(self, key: str) -> bytes:
        fs, path = connect(self.url(key))
        # one request: with several, s3fs would ask for the size first
        once = {"max_concurrency": 1} if is_s3(self.uri) else {}
        return cast(bytes, self._call_with_retries(key, lambda: fs.cat_file(path, **once)))

    def exists(self, key: str) -> bool:
        try:
            self._head(key)
        except MissingObject:
            return False
        return True

    def list(self, prefix: str) -> dict[str, int]:
        found = self._list_s3(prefix) if is_s3(self.uri) else self._list_other(prefix)
        return {name: size for name, size in sorted(found.items()) if not name.startswith(".")}

    def keeps_conditions(self) -> bool:
        """Return whether the store refuses to create what exists; a process asks it once.

        Some stores answer that they know no conditions, and some ignore them.
        """
        if not is_s3(self.uri):
            return False
        place = (os.environ.get("AWS_ENDPOINT_URL_S3", ""), split_s3(self.uri + "/")[0])
        with _asking:
            if place not in _keeps:
                _keeps[place] = self._ask_for_conditions()
            return _keeps[place]

    def _ask_for_conditions(self) -> bool:
        """Create an object twice."""
        key = f".conditions-{here().token()}"
        fs, path = connect(self.url(key))
        upload = bytes_upload(b"")

        def attempt() -> bool:
            try:
                upload(fs, path, {"mode": "create"})
            except Exception as error:
                if not is_expected(error) or is_transient(error) or _is_denied(error):
                    raise
                return not _is_unsupported(error)
            return False

        self.replace(key, upload, 0)
        try:
            return call_with_retries(attempt, self.url(key), self.patience_s)
        finally:
            self.delete(key)

    def create(self, key: str, upload: Upload, size_bytes: int, writer: str = "") -> bool:
        """Put a new object in place.

        A create whose answer was lost is refused when it is tried again. The object therefore
        carries the name of its writer, which is read after a refusal.

        Args:
            key: name below the root.
            upload: uploads the content; safe to repeat.
            size_bytes: size of the content, for the message of a full store.
            writer: name of the writer; empty for a new one.

        Returns:
            False when another object is there already.
        """
        writer = writer or here().token()
        extra: dict[str, object] = {"mode": "create"}
        if is_s3(self.uri):
            extra["Metadata"] = {_WRITER: writer}
        if not self.keeps_conditions():
            # the second one loses, unless both begin at once
            if self.exists(key):
                return False
            if is_s3(self.uri):
                del extra["mode"]
        fs, path = connect(self.url(key))

        def attempt() -> bool:
            try:
                upload(fs, path, extra)
            except Exception as error:
                if not is_expected(error) or is_transient(error) or _is_denied(error):
                    raise
                # Refused: another writer's object is there, or our own whose answer was lost.
                found = self.writer(key)
                if found is None:
                    raise
                return found == writer
            return True

        return call_with_retries(attempt, self.url(key), self.patience_s, size_bytes)

    def replace(self, key: str, upload: Upload, size_bytes: int) -> None:
        """Put an object in place of whatever is there; readers see the old or the new one."""
        fs, path = connect(self.url(key))
        self._call_with_retries(key, lambda: upload(fs, path, {}), size_bytes)

    def delete(self, key: str) -> None:
        fs, path = connect(self.url(key))
        # not there: nothing to do
        with suppress(MissingObject):
            self._call_with_retries(key, lambda: fs.rm_file(path))

    def delete_many(self, keys: Iterable[str]) -> None:
        left = tuple(keys)
        if is_s3(self.uri):
            while left and self._delete_batch(left[:_BATCH_KEYS]):
                left = left[_BATCH_KEYS:]
        for key in left:
            self.delete(key)

    def _delete_batch(self, keys: tuple[str, ...]) -> bool:
        """Remove keys by one request; return False where the store cannot."""
        fs, _ = connect(self.uri)
        bucket, folder = split_s3(self.uri.rstrip("/") + "/")
        wanted = {"Objects": [{"Key": folder + key} for key in keys], "Quiet": True}

        def attempt() -> dict[str, Any]:
            try:
                return cast(
                    dict[str, Any], fs.call_s3("delete_objects", Bucket=bucket, Delete=wanted)
                )
            except Exception as error:
                answer = answer_of(error)
                if answer is None or is_transient(error) or _is_denied(error):
                    raise
                return {"Errors": ["not understood"]}

        answer = call_with_retries(attempt, self.uri, self.patience_s)
        # what one request did not remove is removed, or explained, key by key
        return not answer.get("Errors")

    def sweep(self, folders: Iterable[str] | None) -> SweepReport:
        if not is_s3(self.uri):
            return SweepReport()
        bucket, prefix = split_s3(self.uri.rstrip("/") + "/")
        return abort_stale_uploads(connect(self.uri)[0], bucket, prefix)

    def _head(self, key: str) -> dict[str, Any]:
        fs, path = connect(self.url(key))
        if not is_s3(self.uri):
            return cast(dict[str, Any], self._call_with_retries(key, lambda: fs.info(path)))
        bucket, name = split_s3(self.url(key))
        head = self._call_with_retries(
            key, lambda: fs.call_s3("head_object", Bucket=bucket, Key=name)
        )
        return cast(dict[str, Any], head)

    def writer(self, key: str) -> str | None:
        """Return the writer of the object; empty if unknown, None when there is no object."""
        try:
            return str(self._head(key).get("Metadata", {}).get(_WRITER, ""))
        except MissingObject:
            return None

    def _list_s3(self, prefix: str) -> dict[str, int]:
        bucket, folder = split_s3(self.url(prefix).rstrip("/") + "/")
        fs, _ = connect(self.uri)
        return {
            entry["Key"][len(folder) :]: int(entry["Size"])
            for page in s3_pages(fs, bucket, folder, delimiter="/", patience_s=self.patience_s)
            for entry in page.get("Contents", [])
            if not entry["Key"].endswith("/")
        }

    def _list_other(self, prefix: str) -> dict[str, int]:
        fs, path = connect(self.url(prefix))
        fs.invalidate_cache()
        try:
            infos = self._call_with_retries(prefix, lambda: fs.ls(path, detail=True))
        except MissingObject:
            return {}
        return {
            str(info["name"]).rpartition("/")[2]: int(info.get("size") or 0)
            for info in cast(list[dict[str, Any]], infos)
            if info["type"] != "directory"
        }

    def _call_with_retries(
        self, key: str, call: Callable[[], object], size_bytes: int | None = None
    ) -> object:
        return call_with_retries(call, self.url(key), self.patience_s, size_bytes)


def _is_denied(error: BaseException) -> bool:
    """Return whether access or bucket is missing, so that nothing of ours can have arrived."""
    answer = answer_of(error)
    if answer is None:
        return isinstance(error, PermissionError)
    return answer.status in {401, 403} or answer.code == "NoSuchBucket"


def _is_unsupported(error: BaseException) -> bool:
    answer = answer_of(error)
    if answer is None:
        return isinstance(error, NotImplementedError)
    return answer.status == 501 or answer.code == "NotImplemented"


def bytes_upload(data: bytes) -> Upload:
    """Return an upload of bytes in memory."""

    def upload(fs: Any, path: str, extra: dict[str, object]) -> object:
        return fs.pipe_file(path, data, **_parts(path, fs), **extra)

    return upload


def file_upload(local: str) -> Upload:
    """Return an upload of a finished local file."""

    def upload(fs: Any, path: str, extra: dict[str, object]) -> object:
        return fs.put_file(local, path, **_parts(path, fs), **extra)

    return upload


def _parts(path: str, fs: Any) -> dict[str, int]:
    if "s3" not in fs.protocol:
        return {}
    return {"chunksize": PART_BYTES, "max_concurrency": _PARTS_AT_ONCE}
