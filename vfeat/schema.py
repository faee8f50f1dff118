"""The published contracts as JSON, generated from the code; `schemas/` holds a copy."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from vfeat.engine.summary import RunSummary
from vfeat.job.recipe import OutputSpec
from vfeat.job.several import SeveralJobs
from vfeat.job.spec import Job
from vfeat.tables.duplicates import DUPLICATE_NOTES, DUPLICATES
from vfeat.tables.schema import (
    COLUMN_NOTES,
    ERRORS,
    PREDICTION_NOTES,
    VIDEOS,
    RowShape,
    features_schema,
    predictions_schema,
)
from vfeat.tables.shots import SHOT_NOTES, SHOTS


def published_schemas() -> dict[str, str]:
    """Return the JSON text of each schema by name, with a newline at the end."""
    shape = RowShape(192, 8, 196)
    features = {
        tokens: _columns(features_schema(shape, OutputSpec(tokens=tokens)))
        for tokens in ("none", "frame", "patch")
    }
    content: dict[str, Any] = {
        "job": TypeAdapter(Job | SeveralJobs).json_schema(),
        "features": {
            "note": "for a width of 192, 8 frame steps and 196 patches; dtype bfloat16 stores "
            "halffloat vectors",
            "order": "video_id, clip_index",
            "tokens": features,
            "shots": _columns(features_schema(shape, OutputSpec(), shots=True)),
        },
        "predictions": _columns(predictions_schema(embedding=True), PREDICTION_NOTES),
        "duplicates": _columns(DUPLICATES, DUPLICATE_NOTES),
        "shots": _columns(SHOTS, SHOT_NOTES),
        "videos": _columns(VIDEOS),
        "errors": _columns(ERRORS),
        "run": _run(),
    }
    return {name: json.dumps(value, indent=1) + "\n" for name, value in content.items()}


def _run() -> dict[str, Any]:
    """Return the schema of `runs/*.json` and of what `--json` prints."""
    content = TypeAdapter(RunSummary).json_schema()
    content["properties"]["exit_code"] = {"title": "Exit Code", "type": "integer"}
    content["required"].append("exit_code")
    return content


def _columns(schema: pa.Schema, notes: dict[str, str] = COLUMN_NOTES) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "nullable": field.nullable,
            **({"description": notes[field.name]} if field.name in notes else {}),
        }
        for field in schema
    ]
