"""Long gaps in a sequence: few steps, and every clip where it belongs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vfeat.plan.sequence_ref import LONGEST_GAP, SequenceRef, fold_gaps
from vfeat.sequences.reader import steps_of


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 5), st.integers(LONGEST_GAP - 2, 10**9)), st.integers(1, 9)
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 2 * LONGEST_GAP),
)
def test_clips_keep_their_order_and_short_gaps_their_length(
    runs: list[tuple[int, int]], behind: int
) -> None:
    ranges, end = [], 0
    for gap, rows in runs:
        ranges.append((end + gap, end + gap + rows - 1))
        end += gap + rows
    clips = np.concatenate([np.arange(a, b + 1) for a, b in ranges])
    length, folds = fold_gaps(end + behind, reversed(ranges))
    ref = SequenceRef("v", "/v", length, len(clips), None, (), folds)
    steps = steps_of(ref, clips)
    gaps = np.diff(np.concatenate([[-1], clips, [end + behind]])) - 1
    kept = np.diff(np.concatenate([[-1], steps, [length]])) - 1
    assert kept.tolist() == np.minimum(gaps, LONGEST_GAP).tolist()
    assert [step + ref.left_out(int(step)) for step in steps] == clips.tolist()


def test_a_video_without_long_gaps_is_as_it_was() -> None:
    length, folds = fold_gaps(5000, [(0, 10), (900, 1500), (2000, 4999)])
    assert (length, folds) == (5000, ())
