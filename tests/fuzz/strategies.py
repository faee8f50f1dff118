"""Files of others, whole and damaged, as hypothesis draws them."""

from __future__ import annotations

import csv
import io
import os
import re
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.fuzz.mutate.noise import damage, numbers

EXAMPLES = "VFEAT_FUZZ_EXAMPLES"  # of each property, in the environment; the long form
_FEW = 40
_LITERAL = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"[^"\\]*"|true|false|null')
_ODD = (
    b"null", b"true", b"-1", b"0", b"1e400", b"NaN", b"-Infinity", b"9" * 30, b"9" * 5000, b"[]",
    b"{}", b'""', b'"x"', b"0.5", b"[1]", b'{"a": 1}', b"4294967296", b"1000000", b"[" * 3000,
)  # fmt: skip


def many(share: float = 1.0) -> settings:
    """Settings of a property: few fixed examples, or as many as the environment asks for.

    Args:
        share: of the examples, for a slow door.
    """
    asked = os.environ.get(EXAMPLES)
    return settings(
        max_examples=max(5, round(share * int(asked or _FEW))),
        derandomize=asked is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Draw a file with damaged bytes."""
    luck = st.integers(0, 1 << 32).map(Random)
    return luck.map(lambda draw: draw.choice((damage, numbers, _cut))(whole, draw))


def _cut(whole: bytes, draw: Random) -> bytes:
    return whole[: draw.randrange(len(whole))]


def reworded(whole: bytes) -> st.SearchStrategy[bytes]:
    """Draw a JSON or YAML text with one or two other values in it."""
    return st.integers(0, 1 << 32).map(lambda seed: _reword(whole, Random(seed)))


def _reword(text: bytes, draw: Random) -> bytes:
    for _ in range(draw.choice((1, 1, 2))):
        if found := list(_LITERAL.finditer(text)):
            place = draw.choice(found)
            text = text[: place.start()] + draw.choice(_ODD) + text[place.end() :]
    return text


# No address of a network: a list may name one, and reading the list would look there.
_CELLS = st.one_of(
    st.text(max_size=12).filter(lambda text: ":" not in text and "/" not in text),
    st.sampled_from(["a.mp4", "", "12", "-1", "1e9", "NaN", "2024-01-01", "9" * 25, "file:", "\0"]),
)


@st.composite
def csv_lists(draw: st.DrawFn) -> bytes:
    """Draw a CSV list of videos, of any columns, rows and encodings."""
    names = draw(st.lists(st.one_of(_CELLS, st.sampled_from(["uri", "size", "etag"])), max_size=5))
    if draw(st.booleans()):
        names.append("uri")
    rows = draw(st.lists(st.lists(_CELLS, min_size=len(names), max_size=len(names)), max_size=4))
    text = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    csv.writer(text, quoting=quoting).writerows([names, *rows])
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return text.getvalue().encode(encoding, "replace")


_COLUMNS = st.sampled_from(
    [
        pa.array(["a.mp4", "b.mp4", None]), pa.array([b"a.mp4", b"\xff.mp4", b""]),
        pa.array([1, 2, None]), pa.array([1.5, float("nan"), None]), pa.array([True, None, False]),
        pa.array([[1], [], None]), pa.array([{"a": 1}, None, {"a": 2}]), pa.nulls(3),
        pa.array([2**63 + 1, 0, 1], pa.uint64()), pa.array([0, 1, 2], pa.timestamp("ns")),
        pa.array(["x", "y", "x"]).dictionary_encode(), pa.array(["", " ", "\n"]),
        pa.array([b"12345678", None, b"87654321"], pa.binary(8)),
        pa.array(["1", "9" * 30, "-0"], pa.large_string()), pa.array([1, 2, 3], pa.duration("s")),
        pa.array([None, [["x"]], []], pa.list_(pa.list_(pa.string()))),
    ]
)  # fmt: skip


@st.composite
def parquet_lists(draw: st.DrawFn) -> bytes:
    """Draw a Parquet list of videos, of any types of columns."""
    names = draw(st.lists(st.sampled_from(["size", "etag", "size_bytes", "scene", "", "Uri"])))
    names = ["uri"] * draw(st.sampled_from([1, 1, 1, 0, 2])) + names
    arrays = [draw(_COLUMNS) for _ in names]
    rows = draw(st.integers(0, 3))
    table = pa.table([array.slice(0, rows) for array in arrays], names=names)
    return _parquet(table)


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


@st.composite
def retyped(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a Parquet file with a column of another type, name or order, or without it."""
    table = pq.read_table(io.BytesIO(whole))
    place = draw(st.integers(0, table.num_columns - 1))
    how = draw(st.sampled_from(["type", "type", "drop", "name", "cut", "again"]))
    name = table.column_names[place]
    if how == "type":
        column = draw(_COLUMNS)
        cells = pa.concat_arrays([column] * (len(table) // len(column) + 1)).slice(0, len(table))
        table = table.set_column(place, name, cells)
    elif how == "drop":
        table = table.remove_column(place)
    elif how == "name":
        others = draw(st.permutations(table.column_names))
        table = table.rename_columns(others)
    else:
        table = table.slice(1) if how == "cut" else pa.concat_tables([table, table])
    return _parquet(table)


_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
        st.dates(), st.binary(max_size=4), st.sampled_from(["a.mp4", "extract", "auto", "all"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@st.composite
def job_files(draw: st.DrawFn) -> bytes:
    """Draw a job file with the right fields and any values."""
    from vfeat.job.kinds import KINDS, load

    kind = draw(st.sampled_from(sorted(KINDS)))
    names = sorted(load(KINDS[kind].job).model_fields)
    fields = draw(st.dictionaries(st.sampled_from(names), _VALUES, max_size=6))
    return yaml.safe_dump({"kind": kind, "out": "x", **fields}, allow_unicode=True).encode()
