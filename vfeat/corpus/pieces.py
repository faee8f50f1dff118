"""Pieces of the corpus as they come from a source, and batches of a size to work with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.identity import hashes, identities, stripped, video_ids
from vfeat.corpus.ids import hex_ids
from vfeat.corpus.video import EXTRA, VideoBatch

_FIRST_ROWS = 256
_GROWTH = 4
_MOST_ROWS = 16_384
_HELD_S = 2.0

_PIECE = pa.schema(
    [
        pa.field("uri", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("source", pa.string()),
        pa.field("problem", pa.string()),
    ]
)


def piece(
    source: str,
    uris: pa.Array,
    sizes: pa.Array,
    etags: pa.Array,
    problems: pa.Array | None = None,
    extras: Mapping[str, pa.Array] | None = None,
) -> pa.Table:
    """Return some videos of one source as a table, without their ids."""
    rows = len(uris)
    if problems is None:
        problems = pa.nulls(rows, pa.string())
    columns = [uris, sizes, etags, pa.repeat(pa.scalar(source), rows), problems]
    table = pa.Table.from_arrays(columns, schema=_PIECE)
    for name, column in (extras or {}).items():
        table = table.append_column(EXTRA + name, column)
    return table


def batches_of(pieces: Iterator[pa.Table]) -> Iterator[VideoBatch]:
    """Join pieces to batches: first small ones, then larger ones, and none held for long."""
    held: list[pa.Table] = []
    rows, wanted, since_s = 0, _FIRST_ROWS, 0.0
    for some in pieces:
        if held and held[0].schema != some.schema:
            yield _batch(held)
            held, rows = [], 0
        if some.num_rows:
            since_s = since_s if held else time.monotonic()
            held.append(some)
            rows += some.num_rows
        if held and (rows >= wanted or time.monotonic() - since_s > _HELD_S):
            yield _batch(held)
            held, rows, wanted = [], 0, min(wanted * _GROWTH, _MOST_ROWS)
    if held:
        yield _batch(held)


def _batch(held: list[pa.Table]) -> VideoBatch:
    table = pa.concat_tables(held).combine_chunks()
    uris, etags = (_whole(table.column(name)) for name in ("uri", "etag"))
    names = identities(uris, etags)
    ids = video_ids(names, etags)
    shown = stripped(uris, query=False)
    table = table.set_column(0, _PIECE.field("uri"), shown)
    table = table.append_column("address", _where_other(uris, shown))
    return VideoBatch(table.add_column(0, "video_id", hex_ids(ids)), ids, hashes(names))


def _where_other(uris: pa.Array, shown: pa.Array) -> pa.Array:
    """Return the addresses that differ from what is shown of them; null elsewhere."""
    if shown is uris:
        return pa.nulls(len(uris), pa.string())
    return pc.if_else(pc.equal(uris, shown), pa.scalar(None, pa.string()), uris)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)
