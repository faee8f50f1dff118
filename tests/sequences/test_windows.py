"""Windows: worked out by hand, and laws that hold for any grid."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vfeat.sequences.windows import SequenceWindow, sliding, whole


def test_windows_by_hand() -> None:
    # 5 clips of 2 s, end to end: 10 s. Windows of 6 s every 2 s.
    assert list(sliding(5, 2.0, 2.0, 6.0, 2.0)) == [
        SequenceWindow(0, 2, 0.0, 6.0),
        SequenceWindow(1, 3, 2.0, 8.0),
        SequenceWindow(2, 4, 4.0, 10.0),
    ]
    assert whole(5, 2.0, 2.0) == SequenceWindow(0, 4, 0.0, 10.0)


def test_a_video_shorter_than_a_window_gives_one() -> None:
    assert list(sliding(2, 1.0, 1.0, 60.0, 1.0)) == [SequenceWindow(0, 1, 0.0, 2.0)]


def test_a_tenth_of_a_second_is_a_tenth() -> None:
    """0.1 * 3 is not 0.3 in floating point; windows count in exact tenths."""
    windows = list(sliding(100, 0.1, 0.1, 0.3, 0.1))
    assert [(w.first_clip, w.last_clip) for w in windows] == [(k, k + 2) for k in range(98)]


@given(
    st.integers(1, 400),
    st.sampled_from([0.5, 1.0, 2.0, 0.1]),
    st.sampled_from([0.5, 1.0, 3.0]),
    st.sampled_from([2.0, 10.0, 60.0]),
    st.sampled_from([0.5, 1.0, 5.0]),
)
def test_windows_cover_the_video_in_order(
    clips: int, stride_s: float, clip_s: float, window_s: float, hop_s: float
) -> None:
    windows = list(sliding(clips, stride_s, clip_s, window_s, hop_s))
    assert windows
    assert windows[0].first_clip == 0
    assert [w.start_s for w in windows] == sorted({w.start_s for w in windows})
    for window in windows:
        assert 0 <= window.first_clip <= window.last_clip < clips
        assert window.end_s - window.start_s <= window_s + 1e-9
    if hop_s <= window_s:
        seen = {c for w in windows for c in range(w.first_clip, w.last_clip + 1)}
        # a clip that begins where the last window has ended lies wholly in its reach
        assert seen >= set(range(windows[-1].last_clip + 1))
