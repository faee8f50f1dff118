"""The published contracts as JSON, generated from the code; `schemas/` holds a copy."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from vfeat.job.recipe import OutputSpec
from vfeat.job.spec import Job
from vfeat.tables.schema import (
    COLUMN_NOTES,
    ERRORS,
    PREDICTIONS_SCHEMA,
    VIDEOS,
    RowShape,
    features_schema,
)


def published_schemas() -> dict[str, str]:
    """Name to JSON text, with a newline at the end."""
    shape = RowShape(192, 8, 196)
    features = {
        tokens: _columns(features_schema(shape, OutputSpec(tokens=tokens)))
        for tokens in ("none", "frame", "patch")
    }
    content: dict[str, Any] = {
        "job": TypeAdapter(Job).json_schema(),
        "features": {
            "note": "for a width of 192, 8 frame steps and 196 patches; dtype bfloat16 stores "
            "halffloat vectors",
            "order": "video_id, clip_index",
            "tokens": features,
        },
        "predictions": _columns(PREDICTIONS_SCHEMA),
        "videos": _columns(VIDEOS),
        "errors": _columns(ERRORS),
    }
    return {name: json.dumps(value, indent=1) + "\n" for name, value in content.items()}


def _columns(schema: pa.Schema) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "nullable": field.nullable,
            **({"description": COLUMN_NOTES[field.name]} if field.name in COLUMN_NOTES else {}),
        }
        for field in schema
    ]
