"""A dataset root: named files that appear whole and once, and are never visible half-written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from vfeat.addresses import public
from vfeat.storage.local_root import LocalRoot, copy_from
from vfeat.storage.object_root import ObjectRoot, bytes_upload, file_upload
from vfeat.storage.retry import PATIENCE_S
from vfeat.storage.swept import SweepReport
from vfeat.storage.uris import is_local, local_path


class Root:
    """One folder or prefix. Keys are relative, with `/` between their parts.

    Nothing is cached: each call returns the state while it ran. It pickles as its URI, so it may go
    to other processes; one instance serves several threads. A call waits up to `patience_s` for a
    store that is away, and raises at once what waiting cannot mend. All methods raise StorageError,
    or its subclass MissingObject, with one sentence.

    Attributes:
        uri: public address, for messages and records; without a password that `address` holds.
        address: what opens the same root elsewhere.
    """

    def __init__(self, uri: str, *, patience_s: float = PATIENCE_S) -> None:
        """Set up the root without opening or creating anything.

        Args:
            uri: a local folder, `s3://bucket/prefix` or any URI fsspec can write to.
            patience_s: seconds of outage that a call waits through.
        """
        self.patience_s = patience_s
        self._store: LocalRoot | ObjectRoot
        if is_local(uri):
            self._store = LocalRoot(Path(local_path(uri)))
        else:
            self._store = ObjectRoot(uri, patience_s)
        self.address = self._store.url("")
        self.uri = public(self.address)

    def __repr__(self) -> str:
        return f"Root({self.uri!r})"

    def url(self, key: str) -> str:
        """Return the public address that a person pastes into DuckDB: absolute path or full URI."""
        return public(self._store.url(key))

    def local_path(self, key: str) -> Path | None:
        """Return the key's path if it is a file of this machine, else None."""
        return self._store.path(key) if isinstance(self._store, LocalRoot) else None

    def open_input(self, key: str) -> BinaryIO:
        """Open a seekable file for reading; remote ones are read by ranges."""
        return self._store.open_input(key)

    def read_bytes(self, key: str) -> bytes:
        """Read the whole content."""
        if isinstance(self._store, ObjectRoot):
            return self._store.read(key)
        with self._store.open_input(key) as file:
            return file.read()

    def exists(self, key: str) -> bool:
        """Return whether a file of exactly this key exists."""
        return self._store.exists(key)

    def list(self, prefix: str) -> dict[str, int]:
        """List the files directly in the folder `prefix`.

        Dot-names and folders are left out.

        Returns:
            Size in bytes by name, sorted; empty when there is no such folder.
        """
        return self._store.list(prefix)

    def create_bytes(self, key: str, data: bytes) -> bool:
        """Publish in one step if the key is free.

        Returns:
            True if the file there now is ours; False if another one was there first.
        """
        if isinstance(self._store, LocalRoot):
            return self._store.create(key, lambda file: file.write(data), len(data))
        return self._store.create(key, bytes_upload(data), len(data))

    def keeps_conditions(self) -> bool:
        """Return whether of two that create a key at once, one is always refused."""
        return isinstance(self._store, LocalRoot) or self._store.keeps_conditions()

    def writer(self, key: str) -> str | None:
        """Return the writer of an object; empty if unknown, None when it does not exist."""
        if isinstance(self._store, LocalRoot):
            return "" if self.exists(key) else None
        return self._store.writer(key)

    def create_file(self, key: str, local_path: str | Path, writer: str = "") -> bool:
        """Publish a finished local file in one step if the key is free; the local file stays.

        Args:
            key: where.
            local_path: the file.
            writer: name that `writer` returns for it; empty for a new one.

        Returns:
            True if the file there now is ours; False if another one was there first.
        """
        path = Path(local_path)
        write = copy_from(path)
        size_bytes = path.stat().st_size
        if isinstance(self._store, LocalRoot):
            return self._store.create(key, write, size_bytes)
        return self._store.create(key, file_upload(str(path)), size_bytes, writer)

    def replace_bytes(self, key: str, data: bytes) -> None:
        """Publish in one step, replacing what is there: for snapshots."""
        if isinstance(self._store, LocalRoot):
            self._store.replace(key, lambda file: file.write(data), len(data))
        else:
            self._store.replace(key, bytes_upload(data), len(data))

    def replace_file(self, key: str, local_path: str | Path) -> None:
        """Publish a finished local file as `replace_bytes` does, and keep it."""
        path = Path(local_path)
        write = copy_from(path)
        size_bytes = path.stat().st_size
        if isinstance(self._store, LocalRoot):
            self._store.replace(key, write, size_bytes)
        else:
            self._store.replace(key, file_upload(str(path)), size_bytes)

    def delete(self, key: str) -> None:
        """Remove the key; do nothing when it does not exist."""
        self._store.delete(key)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove many keys, a thousand with one request where the store allows it."""
        self._store.delete_many(keys)

    def sweep(self, folders: Iterable[str] | None = None) -> SweepReport:
        """Remove what dead writers have left under this root; living ones are not touched.

        On a disk these are temporary files, and on S3 unfinished uploads that began a day ago. What
        a store does not list or does not let go of stays, without an error.

        Args:
            folders: folders of a local root to look at, without those below them; None for all.
        """
        return self._store.sweep(folders)
