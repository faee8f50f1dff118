"""A dataset root: named files that appear whole, once, and are never seen half-written."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from vfeat.storage.local_root import LocalRoot, copy_from
from vfeat.storage.object_root import ObjectRoot, bytes_upload, file_upload
from vfeat.storage.retry import PATIENCE_S
from vfeat.storage.uris import is_local, local_path


class Root:
    """One folder or prefix. Keys are relative, with `/` between their parts.

    Nothing is cached: what a call tells was true while it ran. Pickles as its URI, so it
    may go to other processes; one instance serves several threads. A call waits for a
    store that is away up to `patience_s`, and refuses at once what waiting cannot mend.
    All methods raise StorageError, or its subclass MissingObject, with one sentence.
    """

    def __init__(self, uri: str, *, patience_s: float = PATIENCE_S) -> None:
        """Nothing is opened or made here.

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
        self.uri = self._store.url("")

    def __repr__(self) -> str:
        return f"Root({self.uri!r})"

    def url(self, key: str) -> str:
        """What a person pastes into DuckDB: an absolute path or a full URI."""
        return self._store.url(key)

    def local_path(self, key: str) -> Path | None:
        """The key's path if it is a file of this machine."""
        return self._store.path(key) if isinstance(self._store, LocalRoot) else None

    def open_input(self, key: str) -> BinaryIO:
        """A seekable file; remote ones are read by ranges."""
        return self._store.open_input(key)

    def read_bytes(self, key: str) -> bytes:
        """The whole content."""
        if isinstance(self._store, ObjectRoot):
            return self._store.read(key)
        with self._store.open_input(key) as file:
            return file.read()

    def exists(self, key: str) -> bool:
        """True when a file of exactly this key is there."""
        return self._store.exists(key)

    def list(self, prefix: str) -> dict[str, int]:
        """Names and sizes (bytes) of the files directly in the folder `prefix`, sorted.

        Empty when there is no such folder; dot-names and folders are left out.
        """
        return self._store.list(prefix)

    def create_bytes(self, key: str, data: bytes) -> bool:
        """Publish in one step if the key is free; True if ours is there now."""
        if isinstance(self._store, LocalRoot):
            return self._store.create(key, lambda file: file.write(data), len(data))
        return self._store.create(key, bytes_upload(data), len(data))

    def create_file(self, key: str, local_path: str | Path) -> bool:
        """Publish a finished local file in one step; it stays. True if ours is there now."""
        path = Path(local_path)
        write = copy_from(path)
        size_bytes = path.stat().st_size
        if isinstance(self._store, LocalRoot):
            return self._store.create(key, write, size_bytes)
        return self._store.create(key, file_upload(str(path)), size_bytes)

    def replace_bytes(self, key: str, data: bytes) -> None:
        """Publish in one step, in place of what is there: for snapshots."""
        if isinstance(self._store, LocalRoot):
            self._store.replace(key, lambda file: file.write(data), len(data))
        else:
            self._store.replace(key, bytes_upload(data), len(data))

    def replace_file(self, key: str, local_path: str | Path) -> None:
        """Like `replace_bytes`, from a finished local file; it stays."""
        path = Path(local_path)
        write = copy_from(path)
        size_bytes = path.stat().st_size
        if isinstance(self._store, LocalRoot):
            self._store.replace(key, write, size_bytes)
        else:
            self._store.replace(key, file_upload(str(path)), size_bytes)

    def delete(self, key: str) -> None:
        """Remove the key; nothing happens when it is not there."""
        self._store.delete(key)
