"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path; the file is renamed to `path` at the end of the block."""
    part = Path(f"{os.fspath(path)}.{os.getpid()}.part")
    yield part
    os.replace(part, path)
