"""Outcomes in the footer of a shard's file: rows and errors commit together, as one file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from vfeat.outcome import Outcome, RangeError

OUTCOMES_KEY = b"vfeat.outcomes"
RECIPE_KEY = b"vfeat.recipe"
UNITS_KEY = b"vfeat.units_of_measure"


def row_spans(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, int]]:
    """Return first row and number of rows of each video in a file, which is sorted by video."""
    rows: dict[str, int] = {}
    for outcome in outcomes:
        rows[outcome.video_id] = rows.get(outcome.video_id, 0) + outcome.rows
    spans, place = {}, 0
    for video_id in sorted(rows):
        spans[video_id] = (place, rows[video_id])
        place += rows[video_id]
    return spans


def dump_outcomes(outcomes: Iterable[Outcome]) -> bytes:
    """Return outcomes as UTF-8 JSON."""
    return json.dumps([dataclasses.asdict(o) for o in outcomes], ensure_ascii=False).encode()


def load_outcomes(data: bytes) -> list[Outcome]:
    """Return the outcomes that `dump_outcomes` wrote."""
    return [
        Outcome(
            **{
                **fields,
                "empty": tuple((first, last) for first, last in fields["empty"]),
                "errors": tuple(RangeError(**error) for error in fields["errors"]),
                "warnings": tuple(fields["warnings"]),
            }
        )
        for fields in json.loads(data)
    ]
