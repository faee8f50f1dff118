"""The doors through which files of others come in, and the law that holds for all of them.

A door reads its file, or raises a VfeatError that names it; it does neither hang nor fill the
memory.
"""

from __future__ import annotations

import json
import resource
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from vfeat.errors import VfeatError

LONGEST_S = 60.0  # on a loaded machine; what hangs takes longer
MOST_BYTES = 1 << 30  # that the process may grow by, over all files of a test
TASKS = (("scene", "classification"), ("likes", "regression"), ("tags", "multilabel"))


class BrokenLaw(Exception):
    """A file that was neither read nor refused in order."""


def videos_of_list(path: Path) -> None:
    """Read a list of videos, as `vfeat extract LIST` does."""
    from vfeat.corpus.sources import Corpus

    corpus = Corpus([str(path)])
    corpus.refuse_contradictions()
    for _ in corpus.videos():
        pass


def job(path: Path) -> None:
    """Read a job file, as `vfeat run JOB` does."""
    from vfeat.job.load import load_job

    load_job(str(path))


def model(path: Path) -> None:
    """Load a small model from a checkpoint or a model folder, as a worker does after planning."""
    from vfeat.models import create_model
    from vfeat.models.head_peek import head_classes

    head_classes(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        create_model("videomamba", weights=str(path), **({} if path.is_dir() else SMALL))


def settings(path: Path) -> None:
    """Read what lies beside the weights: clip settings, flips, class names."""
    from vfeat.models.class_names import find_class_names
    from vfeat.models.train_record import tested_flips, trained_on

    trained_on(str(path))
    tested_flips(str(path))
    find_class_names(None, str(path), 5)


def labels(path: Path) -> None:
    """Read labels, as `vfeat train head` does."""
    from vfeat.train.labels import read_labels

    read_labels(str(path), TASKS[:1])
    read_labels(str(path), TASKS)


def class_names(path: Path) -> None:
    """Read names of classes, as `vfeat extract --labels FILE` does."""
    from vfeat.models.class_names import read_class_names

    read_class_names(str(path))


def head(path: Path) -> None:
    """Read a head's folder, as `vfeat classify --head` does."""
    from vfeat.sequences.head import load_head, load_head_model

    load_head_model(load_head(str(path)))


def features(path: Path) -> None:
    """Read a features dataset in every way that there is."""
    import vfeat
    from vfeat.sequences.reader import SequenceReader
    from vfeat.tables.status import dataset_status

    errors: list[VfeatError] = []
    for read in (
        lambda: dataset_status(str(path)),
        lambda: list(vfeat.open(str(path)).sequences()),
        lambda: vfeat.open(str(path)).to_arrow(),
        lambda: _sequences(SequenceReader(vfeat.open(str(path)))),
    ):
        try:
            read()
        except VfeatError as error:
            errors.append(error)
    verified(path)
    if errors:
        raise errors[0]


def verified(path: Path) -> None:
    """Verify a dataset; what is wrong stands in the report."""
    from vfeat.storage.root import Root
    from vfeat.tables.verify import verify_dataset

    for _ in verify_dataset(Root(str(path))):
        pass


def _sequences(reader: object) -> None:
    for ref in reader.refs(with_damaged=True):  # type: ignore[attr-defined]
        reader.read(ref)  # type: ignore[attr-defined]


SMALL = {
    "img_size": 16, "patch_size": 8, "depth": 1, "embed_dim": 8, "num_classes": 5,
    "num_frames": 2,
}  # fmt: skip
DOORS: Mapping[str, Callable[[Path], None]] = {
    door.__name__: door
    for door in (videos_of_list, job, model, settings, labels, class_names, head, features)
}


def enter(door: Callable[[Path], None], path: Path, name: str | None = None) -> str:
    """Read a file through a door.

    Args:
        path: a file or a folder.
        name: what a message must hold; the path's own name, if None.

    Returns:
        "read", or the class of the error.

    Raises:
        BrokenLaw: it took too long, filled the memory, or the error does not name the file.
        Exception: any other error is a bug.
    """
    began_s, peak_bytes = time.monotonic(), _peak_bytes()
    how = "read"
    try:
        door(path)
    except VfeatError as error:
        how, text = type(error).__name__, str(error)
        if (name or path.name) not in text:
            raise BrokenLaw(f"{how} does not name {name or path.name}: {text}") from error
        if len(text) > 20_000:
            raise BrokenLaw(f"{how} has {len(text)} characters") from error
    if (seconds := time.monotonic() - began_s) > LONGEST_S:
        raise BrokenLaw(f"{path.name} took {seconds:.0f} s")
    if (grown := _peak_bytes() - peak_bytes) > MOST_BYTES:
        raise BrokenLaw(f"{path.name} took {grown >> 20} MiB")
    return how


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def model_folder(folder: Path) -> Path:
    """Write a small, whole model folder with all that may lie in it."""
    from vfeat.models import create_model, save_model

    save_model(create_model("videomamba", weights="random", **SMALL), folder)
    (folder / "labels.json").write_text(json.dumps(["a", "b", "c", "d", "e"]))
    train = {
        "clip": {"num_frames": 2, "clip_s": 1.0}, "frame": {"size": 16, "resize": "area"},
        "flips": {"horizontal": [1, 0, 2, 3, 4]},
    }  # fmt: skip
    (folder / "train.json").write_text(json.dumps(train))
    return folder


def features_dataset(folder: Path) -> Path:
    """Write a small, whole features dataset of one plan."""
    import random

    from tests.tables.world import World

    world = World.at(folder)
    world.plan_new([3, 1, 4], 2)
    for shard in world.pending():
        world.commit(shard, random.Random(1))
    return folder


def head_folder(folder: Path) -> Path:
    """Write a small, whole head."""
    from tests.tables.world import RECIPE
    from vfeat.models import create_model, save_model
    from vfeat.sequences.head import HEAD_FILE, Head

    network = create_model(
        "vis4mer", weights="random", d_input=4, l_max=8, d_output=2, d_model=8, n_layers=2
    )
    save_model(network, folder)
    told = Head(str(folder), "scene", "classification", ("a", "b"), RECIPE, 4)
    (folder / HEAD_FILE).write_text(json.dumps(told.to_json()))
    return folder
