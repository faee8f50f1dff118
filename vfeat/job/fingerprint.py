"""The recipe: everything that changes the numbers in a dataset, and its fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from vfeat.addresses import public
from vfeat.job.recipe import ClipSpec, FlipSpec, FrameSpec, LabelSpec, ModelSpec, OutputSpec

SCHEMA_VERSION = 1
IMPORTED = "imported:"  # begins the model's name in the recipe of imported features
PLACES = ("model.weights", "labels.source")  # locations: recorded, and no part of the numbers


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the numbers in a dataset; a dataset holds exactly one recipe.

    Attributes:
        weights_digest: hash of the weights' bytes, or of the seed for random ones;
            the weights' location is not part of the fingerprint, their content is.
        labels: names of the classes; None where their numbers stand in the column `labels`,
            or the model brings its own names, or none are kept.
        flips: the label scores of a clip are averaged over it and these flips of it.
    """

    model: ModelSpec
    weights_digest: str
    clip: ClipSpec
    frame: FrameSpec
    output: OutputSpec
    schema_version: int = SCHEMA_VERSION
    labels: LabelSpec | None = None
    flips: tuple[FlipSpec, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, nested as the dataclass is; its addresses are public."""
        fields = dataclasses.asdict(self)
        fields["model"]["config"] = dict(self.model.config)
        if self.model.weights is not None:
            fields["model"]["weights"] = public(self.model.weights)
        if self.frame.fit == "crop":  # left out, so that the fingerprints of older datasets hold
            del fields["frame"]["fit"]
        if self.labels is None:  # left out, so that the fingerprints of older datasets hold
            del fields["labels"]
        else:
            fields["labels"]["source"] = public(self.labels.source)
        del fields["flips"]
        if self.flips:
            fields["flips"] = {spec.flip: list(spec.becomes) for spec in self.flips}
        return fields

    @property
    def is_imported(self) -> bool:
        """Whether something else than vfeat made the features, so that no model is at hand."""
        return self.model.name.startswith(IMPORTED)

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything but the locations of weights and class names."""
        return fingerprint(self.to_json())

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Recipe:
        """Make the recipe that `to_json` wrote."""
        model = fields["model"]
        frame = dict(fields["frame"], mean=tuple(fields["frame"]["mean"]))
        frame["std"] = tuple(frame["std"])
        return cls(
            ModelSpec(model["name"], model["weights"], tuple(sorted(model["config"].items()))),
            fields["weights_digest"],
            ClipSpec(**fields["clip"]),
            FrameSpec(**frame),
            OutputSpec(**fields["output"]),
            fields["schema_version"],
            LabelSpec(**fields["labels"]) if "labels" in fields else None,
            tuple(FlipSpec(f, tuple(b)) for f, b in fields.get("flips", {}).items()),
        )


def fingerprint(recipe: dict[str, Any]) -> str:
    """Return the hash of a recipe in its JSON form, 32 hex digits."""
    content = json.loads(json.dumps(recipe))
    for place in PLACES:
        part, _, name = place.partition(".")
        content.get(part, {}).pop(name, None)
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def difference(found: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return the fields in which two recipes differ, one line each, for a person."""
    left, right = _flat(found), _flat(asked)
    return [
        f"{key}: the dataset has {left.get(key)!r}, this job {right.get(key)!r}"
        for key in sorted(left.keys() | right.keys())
        if key not in PLACES and left.get(key) != right.get(key)
    ]


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in json.loads(json.dumps(fields)).items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
