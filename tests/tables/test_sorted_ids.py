"""A set of ids answers as Python's does, whatever the bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vfeat.corpus.ids import ID
from vfeat.tables.sorted_ids import SortedIds, id_array, ids_of

# Few values, so that halves are shared; zeros at the end, which numpy does not show.
HALF = st.sampled_from([b"\0" * 8, b"\xff" * 8, b"a" * 8, b"a" * 7 + b"\0"])
RAW = st.one_of(st.tuples(HALF, HALF).map(b"".join), st.binary(min_size=16, max_size=16))


@given(st.lists(RAW), st.lists(RAW), st.lists(RAW))
def test_it_is_a_set(held: list[bytes], more: list[bytes], asked: list[bytes]) -> None:
    def ids(raw: list[bytes]) -> np.ndarray:
        return np.frombuffer(b"".join(raw), ID) if raw else np.empty(0, ID)

    found = SortedIds.union([ids(held), ids(more)])
    assert len(found) == len({*held, *more})
    asked += held
    assert found.contains(ids(asked)).tolist() == [one in {*held, *more} for one in asked]
    left = found.without(ids(held)).contains(ids(asked)).tolist()
    assert left == [one in set(more) - set(held) for one in asked]


@given(st.lists(RAW), st.integers(0, 5))
def test_arrow_and_numpy_hold_the_same_bytes(raw: list[bytes], start: int) -> None:
    ids = np.frombuffer(b"".join(raw), ID) if raw else np.empty(0, ID)
    column = id_array(ids)
    assert column.to_pylist() == raw
    assert ids_of(column.slice(start)).tobytes() == b"".join(raw[start:])
