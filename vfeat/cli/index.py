"""`vfeat index`: an index of the embeddings, for faster searches."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from vfeat.search.index_build import IndexReport


def index(
    features: Annotated[str, typer.Argument(metavar="FEATURES", help="Features dataset.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew.")] = False,
    json_output: flags.Json = False,
) -> None:
    """Index the embeddings of a dataset for `vfeat search`; run again, it adds what is new."""
    from vfeat.cli.report import size_text
    from vfeat.cli.terminal import say, say_json
    from vfeat.search.dataset import open as open_dataset
    from vfeat.search.index_build import bring_up_to_date

    report = bring_up_to_date(open_dataset(features), rebuild=rebuild)
    if json_output:
        say_json(dataclasses.asdict(report))
    else:
        say(
            f"{report.uri}: {report.clips:,} clips in {report.lists:,} lists, "
            f"{size_text(report.size_bytes)}; {_done(report)}."
        )
        say(
            f"recall@10 {report.recall:.3f} against exact search on {report.queries} clips; "
            f"a search looks through {report.probes:,} of {report.lists:,} lists."
        )
    if report.is_below_target:
        say(
            f"Warning: the index finds {report.recall:.1%} of the ten nearest clips, less than "
            "95%: use `vfeat search --exact` where that matters",
            to_stderr=True,
        )


def _done(report: IndexReport) -> str:
    if report.made_anew:
        return f"made anew: {report.made_anew}"
    return f"{report.added:,} clips added" if report.added else "nothing to add"
