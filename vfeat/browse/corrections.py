"""Labels that a person gives in the page, in a file of the person's own."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

from vfeat.browse.label_file import LabelFile, Part, parse
from vfeat.errors import JobError
from vfeat.plain_text import one_line
from vfeat.storage.folder_lock import locked_folder
from vfeat.storage.root import Root
from vfeat.storage.uris import is_local, local_path

MOST_CHARS = 200


class Corrections:
    """One file; others may change it at the same time, and no line of theirs is lost."""

    def __init__(self, path: str, dataset: Root) -> None:
        """Check the file; it is made with the first label.

        Raises:
            JobError: it is not a file of labels, or lies where none may.
        """
        if not is_local(path):
            raise JobError(f"--labels {path}: expected a file of this machine, not a bucket's")
        self._path = Path(local_path(path)).resolve()
        inside = dataset.local_path("")
        if inside is not None and self._path.is_relative_to(inside.resolve()):
            raise JobError(f"--labels {path} lies in the dataset: name a file outside of it")
        if not self._path.parent.is_dir():
            raise JobError(f"--labels {path}: there is no folder {self._path.parent}")
        self._root = Root(str(self._path.parent))
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._file = LabelFile({})
        self.present()

    @property
    def name(self) -> str:
        """Name of the file."""
        return self._path.name

    def present(self) -> LabelFile:
        """Return what the file holds; it is read when it has changed."""
        with self._lock:
            try:
                found = self._path.stat()
            except FileNotFoundError:
                self._seen, self._file = None, LabelFile({})
                return self._file
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen != self._seen:
                self._file, self._seen = self._read(), seen
            return self._file

    def give(self, part: Part, label: str) -> None:
        """Write a label; an empty one takes it away. It is on the disk when this returns.

        Raises:
            JobError: the label is none, or the file has become another one.
            StorageError: it cannot be written.
        """
        label = label.strip()
        if len(label) > MOST_CHARS or not all(letter.isprintable() for letter in label):
            raise JobError(f"expected a label of one line, of up to {MOST_CHARS} characters")
        with locked_folder(self._path.parent):
            old = self._read() if self._path.exists() else LabelFile({})
            new = old.with_label(part, label)
            if new != old or list(new.lines) != list(old.lines):
                self._root.replace_bytes(self._path.name, new.text().encode())

    def of(self, part: Part) -> dict[str, str | None]:
        """Return the labels of a clip and of its whole video."""
        lines = self.present().lines
        own, whole = lines.get(part), lines.get(Part(part.uri))
        return {
            "given": own.label or None if own else None,
            "given_whole": whole.label or None if whole else None,
        }

    def progress(self) -> dict[str, Any]:
        """Return how many labels there are, and of which names."""
        counts = Counter(line.label for line in self.present().lines.values() if line.label)
        return {
            "file": one_line(self.name), "total": counts.total(),
            "labels": [
                {"label": name, "shown": one_line(name), "count": count}
                for name, count in counts.most_common()
            ],
        }  # fmt: skip

    def _read(self) -> LabelFile:
        try:
            text = self._path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise JobError(f"{self._path} is not UTF-8 text") from None
        except OSError as error:
            raise JobError(f"{self._path} cannot be read ({error.strerror})") from None
        return parse(text, str(self._path))
