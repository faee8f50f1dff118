"""The flags of `vfeat train encoder` are the fields of its job."""

from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

from vfeat.cli.train_encoder import NOT_FIELDS, encoder
from vfeat.job.train_encoder import TrainEncoderJob

MAPPINGS = {"model_options", "label_swaps"}  # repeatable flags, None when not given


def test_every_field_is_a_flag_with_the_same_default() -> None:
    flags = {k: p for k, p in inspect.signature(encoder).parameters.items() if k not in NOT_FIELDS}
    fields = {k: f for k, f in TrainEncoderJob.model_fields.items() if k != "kind"}
    assert flags.keys() == fields.keys()
    for name, field in fields.items():
        default = flags[name].default
        assert default == (None if field.is_required() or name in MAPPINGS else field.default), name


def test_every_flag_has_help() -> None:
    hints = get_type_hints(encoder, include_extras=True)
    for name in TrainEncoderJob.model_fields.keys() - {"kind"}:
        assert any(getattr(extra, "help", "") for extra in get_args(hints[name])[1:]), name
