"""Class names of a model: a packaged set, or a list that the user gives."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

from vfeat.errors import EnvironmentMissing, JobError, NodeDiffers
from vfeat.job.recipe import LabelSpec
from vfeat.labels import LABEL_SETS, digest, label_set, set_of_size
from vfeat.models.weights import LABELS_FILE, read_beside
from vfeat.storage import MissingObject, open_source


@dataclass(frozen=True)
class ClassNames:
    """Class names and their source.

    Attributes:
        source: a packaged set, or a path or URI; `read_class_names` reads it again.
        names: name of each class, in class order.
    """

    source: str
    names: tuple[str, ...]


def find_class_names(
    asked: str | None, weights: str, classes: int, published: int | None = None
) -> ClassNames | None:
    """Find the names of a VideoMamba's classes; None if the classes have only numbers.

    The order is: the list that the user asks for; `labels.json` beside the weights; for a published
    checkpoint, the set that VideoMamba's checkpoints with that many classes were trained on.

    Args:
        asked: a packaged set, or a path or URI.
        weights: see `vfeat.models.weights`.
        classes: number of outputs of the model.
        published: number of outputs of the head in a checkpoint that others published without
            names; None for other weights, or without a head.

    Raises:
        JobError: the number of names is not that of the classes, or the list cannot be parsed.
        EnvironmentMissing, StorageError: the list does not exist, or cannot be read.
    """
    found = _asked(asked) if asked is not None else _beside(weights)
    if found is None and published == classes and (name := set_of_size(classes)):
        found = _asked(name)
    if found is not None and len(found.names) != classes:
        raise JobError(
            f"{found.source} has {len(found.names)} class names, and the model {classes} outputs; "
            "give the names of its own classes with --labels, or other weights"
        )
    return found


def read_class_names(source: str) -> tuple[str, ...]:
    """Read the names of a packaged set or of a list in a file.

    A list is text with one name per line (line 1 is class 0), or JSON: `["first", "second"]`.

    Raises:
        JobError, EnvironmentMissing, StorageError: as `find_class_names`.
    """
    if source in LABEL_SETS:
        return label_set(source)
    folder, _, name = source.rpartition("/")
    if name == LABELS_FILE and (content := read_beside(folder, name)) is not None:
        return _parse(source, content)
    try:
        with open_source(source) as file:
            return _parse(source, file.read())
    except MissingObject as error:
        raise EnvironmentMissing(
            f"Class names {source}: there is no such file, and the sets in the package are "
            f"{', '.join(LABEL_SETS)}"
        ) from error


def read_sentences(labels: LabelSpec) -> tuple[str, ...]:
    """Read the sentences that a recipe's labels are.

    Raises:
        NodeDiffers: they are not those of the recipe; their words decide the scores.
        JobError, EnvironmentMissing, StorageError: as `read_class_names`.
    """
    found = read_class_names(labels.source)
    if digest(found) != labels.digest:
        raise NodeDiffers(
            f"{labels.source} on {socket.gethostname()} holds other sentences than where this run "
            f"began ({digest(found)}, not {labels.digest}): copy the same file to every machine"
        )
    return found


def _asked(source: str) -> ClassNames:
    return ClassNames(source, read_class_names(source))


def _beside(weights: str) -> ClassNames | None:
    """Read `labels.json` from a vfeat model folder, if it is there."""
    if read_beside(weights, LABELS_FILE) is None:
        return None
    return _asked(f"{weights.rstrip('/')}/{LABELS_FILE}")


def _parse(source: str, content: bytes) -> tuple[str, ...]:
    """Parse the names, in order; each must be non-empty text."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JobError(f"Class names {source}: not text in UTF-8 ({error})") from None
    names = _parse_json(source, text) if text.lstrip()[:1] in ("[", "{") else text.splitlines()
    while names and names[-1] == "":
        names.pop()
    stripped = tuple(name.strip() for name in names)
    if "" in stripped:
        raise JobError(f"Class names {source}: number {stripped.index('')} (from 0) is empty")
    if not stripped:
        raise JobError(f"Class names {source}: there is none in it; expected a name a line")
    return stripped


def _parse_json(source: str, text: str) -> list[str]:
    expected = '; expected a list of names, ["first", "second", ...]'
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JobError(f"Class names {source}: not JSON: {error}{expected}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise JobError(f"Class names {source}: JSON of another form{expected}")
    return names
