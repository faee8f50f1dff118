"""The flag of `vfeat train encoder` that makes the videos."""

from __future__ import annotations

from vfeat.cli.train_encoder import _pairs
from vfeat.job.train_encoder import Generated


def test_what_to_generate_is_said_in_pairs() -> None:
    words = ["clips=3, seed=1", "folder=a,earlier=b", "earlier=c"]
    found = {"clips": "3", "seed": "1", "folder": "a", "earlier": ["b", "c"]}
    assert _pairs(words) == found
    assert Generated.model_validate(found).earlier == ("b", "c")
