"""What is committed: the files that exist, and the outcomes in their footers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from vfeat.errors import StorageError
from vfeat.outcome import Outcome
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout
from vfeat.tables.features import Footer, read_footer
from vfeat.tables.footer import OUTCOMES_KEY, load_outcomes
from vfeat.tables.kind import kind_of
from vfeat.tables.parquet import ParquetReader, opened

READERS = 8
T = TypeVar("T")


def committed_shards(root: Root) -> set[str]:
    """Return the names of the shards whose files exist: the existence is the commit."""
    return set(layout.shard_names(root.list(kind_of(root).folder)))


def read_footers(
    root: Root, shards: Iterable[str], damaged: set[str] | None = None
) -> Iterator[tuple[str, Footer]]:
    """Read footers of committed shards in parallel; yield them in name order.

    Args:
        damaged: takes the shards whose files cannot be read, instead of an error.

    Raises:
        StorageError: naming such a file, where nobody takes it.
    """
    yield from _read(root, shards, damaged, read_footer)


def read_outcomes(
    root: Root, shards: Iterable[str], damaged: set[str] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Read the outcomes of committed shards as they stand in the footers, in JSON.

    Arguments and errors are those of `read_footers`.
    """
    yield from _read(root, shards, damaged, _outcomes)


def _outcomes(reader: ParquetReader) -> bytes:
    return bytes(reader.metadata.metadata[OUTCOMES_KEY])


def parse_outcomes(
    root: Root, shard: str, written: bytes, damaged: set[str] | None = None
) -> list[Outcome] | None:
    """Return the outcomes that a shard's file or a note holds as JSON.

    Args:
        damaged: takes the shard, instead of an error; None is returned then.

    Raises:
        StorageError: they are not as vfeat wrote them.
    """
    try:
        return load_outcomes(written)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if damaged is None:
            raise _unreadable(root, kind_of(root).key(shard), error) from None
        damaged.add(shard)
        return None


def _unreadable(root: Root, key: str, error: Exception) -> StorageError:
    return StorageError(
        f"{root.url(key)} is not a readable file of this dataset ({error}); "
        "`vfeat verify` tells what else is wrong; delete the file to have its shard redone"
    )


def _read(
    root: Root,
    shards: Iterable[str],
    damaged: set[str] | None,
    take: Callable[[ParquetReader], T],
) -> Iterator[tuple[str, T]]:
    kind = kind_of(root)

    def read(shard: str) -> tuple[str, T] | None:
        key = kind.key(shard)
        try:
            with opened(root, key) as reader:
                return shard, take(reader)
        except (ValueError, KeyError, OSError, TypeError) as error:
            if damaged is not None:
                damaged.add(shard)
                return None
            raise _unreadable(root, key, error) from None
        except MissingObject:
            return None  # deleted since the listing: not committed

    yield from filter(None, here().each(READERS, read, layout.in_order(shards)))
