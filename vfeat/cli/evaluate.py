"""`vfeat eval`: measures of a dataset against a list that people wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from vfeat.search.retrieval_score import RetrievalScores

app = typer.Typer(no_args_is_help=True, help="Measure a dataset against a list.")


@app.command("retrieval")
def retrieval(
    features: Annotated[str, typer.Argument(metavar="FEATURES", help="Features dataset.")],
    source: Annotated[
        str, typer.Argument(metavar="LIST", help="CSV or Parquet with columns uri and caption.")
    ],
    rerank: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Also re-order the N nearest by the matching head."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json_output: flags.Json = False,
) -> None:
    """Compute R@1, R@5 and R@10 of captions and videos, in both directions.

    By the dot product of the vectors and, with --rerank, after re-ranking: two different figures.
    """
    from vfeat.cli.terminal import make_console, make_table, say, say_json
    from vfeat.extract.evaluate import evaluate_retrieval
    from vfeat.search.dataset import open as open_dataset

    found = evaluate_retrieval(open_dataset(features), source, rerank, device)
    kinds: dict[str, RetrievalScores] = {"dot product": found.dot_product}
    if found.reranked is not None:
        kinds[f"re-ranked {rerank}"] = found.reranked
    if json_output:
        reranked = found.reranked.to_json() if found.reranked is not None else None
        say_json(
            {
                "captions": found.captions,
                "videos": found.videos,
                "dot_product": found.dot_product.to_json(),
                "reranked": reranked,
                "rerank": rerank,
                "compared": found.compared,
                "lost_clips": found.lost,
            }
        )
        return
    table = make_table()
    for name in ("score", "direction"):
        table.add_column(name)
    for name in ("R@1", "R@5", "R@10", "median rank"):
        table.add_column(name, justify="right")
    for kind, scores in kinds.items():
        for direction, recall in (
            ("text to video", scores.text_to_video), ("video to text", scores.video_to_text),
        ):  # fmt: skip
            shares = (f"{100 * share:.1f}" for share in (recall.at_1, recall.at_5, recall.at_10))
            table.add_row(kind, direction, *shares, f"{recall.median_rank:g}")
    make_console().print(table)
    say(f"{found.captions:,} captions, {found.videos:,} videos.")
    if found.lost:
        say(
            f"{found.lost:,} clips cannot be decoded any more and were not re-ranked.",
            to_stderr=True,
        )
