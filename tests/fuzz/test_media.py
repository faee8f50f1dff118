"""The short form of `python -m tests.fuzz.media`."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.media import run, videos
from tests.media.truth import OWN


@pytest.mark.parametrize("seed", range(3))
def test_damaged_videos_are_errors_or_settled_clip_by_clip(seed: int, tmp_path: Path) -> None:
    ended = Counter(how for _, how in islice(run(videos([OWN]), seed, tmp_path), 60))
    assert ended["settled"] > 5 and ended["unreadable"] > 5
