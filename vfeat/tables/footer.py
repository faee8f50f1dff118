"""Outcomes in the footer of a shard's file: rows and errors commit together, as one file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from vfeat.outcome import Outcome, RangeError, Split
from vfeat.video_facts import parse_probe, probe_fields

OUTCOMES_KEY = b"vfeat.outcomes"
RECIPE_KEY = b"vfeat.recipe"
UNITS_KEY = b"vfeat.units_of_measure"
_KINDS = {
    "video_id": str, "uri": str, "first_clip": int, "last_clip": int, "rows": int,
    "bad_packets": int,
}  # fmt: skip
# Fields that few outcomes have, and that earlier versions did not write.
_OPTIONAL = ("probe", "split", "changed")


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
    return json.dumps([_fields(outcome) for outcome in outcomes], ensure_ascii=False).encode()


def _fields(outcome: Outcome) -> dict[str, Any]:
    fields = dataclasses.asdict(outcome)
    if outcome.probe is not None:
        fields["probe"] = probe_fields(outcome.probe)
    return {name: value for name, value in fields.items() if value or name not in _OPTIONAL}


def load_outcomes(data: bytes) -> list[Outcome]:
    """Return the outcomes that `dump_outcomes` wrote."""
    return [_outcome(fields) for fields in json.loads(data)]


def _outcome(fields: dict[str, Any]) -> Outcome:
    for name, kind in _KINDS.items():
        if type(fields[name]) is not kind:
            raise ValueError(f"{name} of an outcome is {fields[name]!r:.100}")
    probe, split = fields.get("probe"), fields.get("split")
    return Outcome(
        **{
            **fields,
            "empty": tuple((first, last) for first, last in fields["empty"]),
            "errors": tuple(RangeError(**error) for error in fields["errors"]),
            "warnings": tuple(fields["warnings"]),
            "probe": parse_probe(probe) if probe else None,
            "split": Split(**split) if split else None,
        }
    )
