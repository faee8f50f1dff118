"""`vfeat search`: the clips of a dataset that are most like a given one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.table import Table

    from vfeat.search.answer import Answer
    from vfeat.search.dataset import Dataset
    from vfeat.search.hit import Moment


def search(
    features: Annotated[str, typer.Argument(metavar="FEATURES", help="Features dataset.")],
    clip: Annotated[
        str | None, typer.Option(metavar="FILE", help="A video file to search with.")
    ] = None,
    at: Annotated[
        float | None, typer.Option(min=0, help="Second of that file; default: all of it.")
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="VIDEO@SECONDS", help="A clip of the dataset itself.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Clips to find.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="SQL", help="Only such clips: \"label = 'pan_left' and start_s < 60\"."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where a file is encoded: auto, cpu or cuda.")
    ] = "auto",
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare every clip, also where there is an index.")
    ] = False,
    json_output: flags.Json = False,
) -> None:
    """Find the clips most like a video file, or like a clip of the dataset, by cosine.

    With the index that `vfeat index` made, where there is one; exactly with --exact or --where.
    """
    from vfeat.cli.terminal import make_console, say, say_json
    from vfeat.errors import JobError
    from vfeat.search.dataset import open as open_dataset
    from vfeat.search.moments import merge

    if (clip is None) == (like is None):
        raise JobError("give either --clip FILE or --like VIDEO@SECONDS")
    if at is not None and clip is None:
        raise JobError("--at belongs to --clip; write --like VIDEO@SECONDS")
    dataset = open_dataset(features)
    query = _of_file(dataset, clip, at, device) if clip else _of_clip(dataset, str(like))
    answer = dataset.answer(query[None], k, where, exact=exact)
    moments = merge(answer.hits[0])
    if json_output:
        found = [{**dataclasses.asdict(m.best), "moment": _span(m)} for m in moments]
        say_json({"moments": found, "searched": _searched(answer)})
        return
    if answer.notice:
        say(f"Without the index: {answer.notice}", to_stderr=True)
    if not moments:
        say("No clip holds the condition." if where else "The dataset has no rows yet.")
        return
    make_console().print(_table(moments))
    say(answer.describe())


def _searched(answer: Answer) -> dict[str, int | float | str | None]:
    return {
        "indexed_clips": answer.indexed_clips,
        "exact_clips": answer.exact_clips,
        "recall_at_10": answer.recall,
        "notice": answer.notice,
    }


def _of_clip(dataset: Dataset, like: str) -> npt.NDArray[np.floating]:
    from vfeat.search.like import parse_like

    return dataset.clip_at(*parse_like(like)).vector_D


def _of_file(
    dataset: Dataset, path: str, at_s: float | None, device: str
) -> npt.NDArray[np.floating]:
    from vfeat.errors import JobError, UnitError
    from vfeat.extract.query import embed_query
    from vfeat.storage.uris import is_local, local_path

    try:
        return embed_query(
            local_path(path) if is_local(path) else path, dataset.recipe, at_s, device
        )
    except UnitError as error:
        raise JobError(f"the query cannot be decoded: {error.message}") from error


def _span(moment: Moment) -> dict[str, float | int]:
    return {"start_s": moment.start_s, "end_s": moment.end_s, "clips": moment.clips}


def _table(moments: list[Moment]) -> Table:
    from vfeat.cli.terminal import make_table

    table = make_table()
    table.add_column("video", overflow="fold")
    for name in ("from", "to", "clips", "score"):
        table.add_column(name, justify="right")
    table.add_column("label", overflow="fold")
    for moment in moments:
        best = moment.best
        label = "" if best.label is None else f"{best.label} {best.label_score:.0%}"
        table.add_row(
            best.uri.rpartition("/")[2], f"{moment.start_s:.2f} s", f"{moment.end_s:.2f} s",
            f"{moment.clips}", f"{moment.score:.3f}", label,
        )  # fmt: skip
    return table
