"""`vfeat search`: the clips of a dataset that are most like a given one, or a sentence."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from rich.table import Table

    from vfeat.search.along import WindowScore
    from vfeat.search.answer import Answer
    from vfeat.search.hit import Hit, Moment


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
    text: Annotated[
        str | None,
        typer.Option(metavar="SENTENCE", help="What to look for, for a model of words and video."),
    ] = None,
    rerank: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Re-order the N nearest by the model's matching head."
        ),
    ] = None,
    along: Annotated[
        str | None,
        typer.Option(metavar="VIDEO", help="Score the clips of this video, in order of time."),
    ] = None,
    window_seconds: Annotated[
        float | None,
        typer.Option(min=0.001, help="With --along: mean scores of windows of this length."),
    ] = None,
    hop_seconds: Annotated[
        float | None,
        typer.Option(min=0.001, help="Distance of two windows; default: half a window."),
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
    """Find the clips most like a video file, a clip of the dataset, or a sentence, by cosine.

    With the index that `vfeat index` made, where there is one; exactly with --exact or --where.
    """
    from vfeat.cli.query import Query
    from vfeat.errors import JobError
    from vfeat.search.along import clips_along, windows_along
    from vfeat.search.dataset import open as open_dataset

    if sum(given is not None for given in (clip, like, text)) != 1:
        raise JobError("give one of --clip FILE, --like VIDEO@SECONDS and --text SENTENCE")
    if at is not None and clip is None:
        raise JobError("--at belongs to --clip; write --like VIDEO@SECONDS")
    if rerank is not None and text is None:
        raise JobError("--rerank compares clips with a sentence: it belongs to --text")
    if along is not None and (where or exact or rerank):
        raise JobError("--along scores every clip of one video; leave out --where, --exact and "
                       "--rerank")  # fmt: skip
    if (window_seconds and along is None) or (hop_seconds and not window_seconds):
        raise JobError("--window-seconds belongs to --along, and --hop-seconds to both")
    dataset = open_dataset(features)
    query = Query(dataset, device, clip, at, like, text)
    vector_D, unknown = query.vector_D, query.unknown_words
    if unknown:
        from vfeat.cli.terminal import say

        say(f"Without effect, since the text side has not learnt them: {', '.join(unknown)}",
            to_stderr=True)  # fmt: skip
    if along is not None:
        hits = clips_along(dataset, along, vector_D)
        hop_s = hop_seconds or (window_seconds or 0.0) / 2
        windows = windows_along(dataset, hits, window_seconds, hop_s) if window_seconds else None
        _print_along(hits, windows, k, json_output)
        return
    answer = dataset.answer(vector_D[None], max(k, rerank or 0), where, exact=exact)
    hits = answer.hits[0]
    if rerank is not None:
        hits = query.reranked(hits[:rerank]) + hits[rerank:]
    _print_answer(answer, hits[:k], json_output, "--where" if where else None)


def _print_answer(answer: Answer, hits: list[Hit], json_output: bool, filtered: str | None) -> None:
    from vfeat.cli.terminal import make_console, say, say_json
    from vfeat.search.moments import merge

    moments = merge(hits)
    if json_output:
        say_json({"moments": [_moment(m) for m in moments], "searched": _searched(answer)})
        return
    if answer.notice:
        say(f"Without the index: {answer.notice}", to_stderr=True)
    if not moments:
        say("No clip holds the condition." if filtered else "The dataset has no rows yet.")
        return
    make_console().print(_table(moments))
    say(answer.describe())


def _print_along(
    hits: list[Hit], windows: list[WindowScore] | None, k: int, json_output: bool
) -> None:
    """Print the scores of a video's clips or windows in order of time, and the k best moments."""
    from vfeat.cli.terminal import make_console, say, say_json
    from vfeat.search.moments import merge

    moments = merge(sorted(hits, key=lambda hit: hit.rank, reverse=True)[:k])
    if json_output:
        clips = [_clip(hit) for hit in hits]
        more = {"windows": [dataclasses.asdict(w) for w in windows]} if windows is not None else {}
        say_json({"clips": clips, "moments": [_moment(m) for m in moments], **more})
        return
    from vfeat.cli.terminal import make_table

    table = make_table()
    for name in ("from", "to", "score"):
        table.add_column(name, justify="right")
    if windows is not None:
        highest = max((window.score for window in windows), default=0.0)
        table.add_column("")
        for window in windows:
            mark = "best window" if window.score == highest else ""
            span = f"{window.start_s:.2f} s", f"{window.end_s:.2f} s"
            table.add_row(*span, f"{window.score:.3f}", mark)
        make_console().print(table)
        say(f"{len(windows):,} windows over {len(hits):,} clips of {hits[0].uri}.")
        return
    best = {hit.clip_index for moment in moments for hit in (moment.best,)}
    table.add_column("")
    for hit in hits:
        mark = "best of its moment" if hit.clip_index in best else ""
        table.add_row(f"{hit.start_s:.2f} s", f"{hit.end_s:.2f} s", f"{hit.score:.3f}", mark)
    make_console().print(table)
    say(f"{len(hits):,} clips of {hits[0].uri}.")


def _clip(hit: Hit) -> dict[str, Any]:
    """Return a hit for JSON; `match` is there in a re-ranked search alone."""
    fields = dataclasses.asdict(hit)
    if hit.match is None:
        del fields["match"]
    return fields


def _moment(moment: Moment) -> dict[str, Any]:
    return {**_clip(moment.best), "moment": _span(moment)}


def _searched(answer: Answer) -> dict[str, int | float | str | None]:
    return {
        "indexed_clips": answer.indexed_clips,
        "exact_clips": answer.exact_clips,
        "recall_at_10": answer.recall,
        "notice": answer.notice,
    }


def _span(moment: Moment) -> dict[str, float | int]:
    return {"start_s": moment.start_s, "end_s": moment.end_s, "clips": moment.clips}


def _table(moments: list[Moment]) -> Table:
    from vfeat.cli.terminal import make_table

    table = make_table()
    table.add_column("video", overflow="fold")
    reranked = any(moment.best.match is not None for moment in moments)
    for name in ("from", "to", "clips", "score", *(("match",) if reranked else ())):
        table.add_column(name, justify="right")
    table.add_column("label", overflow="fold")
    for moment in moments:
        best = moment.best
        label = "" if best.label is None else f"{best.label} {best.label_score:.0%}"
        table.add_row(
            best.uri.rpartition("/")[2], f"{moment.start_s:.2f} s", f"{moment.end_s:.2f} s",
            f"{moment.clips}", f"{moment.score:.3f}", *([_match(best)] if reranked else []), label,
        )  # fmt: skip
    return table


def _match(hit: Hit) -> str:
    return "" if hit.match is None else f"{hit.match:.3f}"
