"""Display of a training of words: its outline and its recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vfeat.cli.terminal import make_console, make_table, one_line

if TYPE_CHECKING:
    from vfeat.train.retrieval.dry_run import Outline

WAYS = {"text_to_video": "text to video", "video_to_text": "video to text", "chance": "chance"}
PLACES = ("r1", "r5", "r10")


def print_outline(found: Outline, to_stderr: bool) -> None:
    """Print the result of a dry run."""
    console = make_console(stderr=to_stderr, soft_wrap=True)
    clips = ", ".join(f"{count:,} {split}" for split, count in found.clips.items())
    console.print(f"{clips}; {found.captions:,} different captions, {found.words:,} words")
    console.print(f"{found.parameters:,} parameters that learn, {found.steps:,} steps")


def print_retrieval(result: dict[str, Any], to_stderr: bool = False) -> None:
    """Print the recall of each split; `result` is the content of metrics.json."""
    console = make_console(stderr=to_stderr, soft_wrap=True)
    out = one_line(result["out"])
    if result["metrics"]:
        table = make_table()
        for name in ("split", "clips", "direction"):
            table.add_column(name)
        for place in PLACES:
            table.add_column(place.replace("r", "R@"), justify="right")
        for split, found in result["metrics"].items():
            for way, name in WAYS.items():
                shares = (f"{100 * found['recall'][way][place]:.1f} %" for place in PLACES)
                table.add_row(split, f"{found['videos']:,}", name, *shares)
        console.print(table)
    if result["broken"]:
        console.print(f"{result['broken']} videos could not be read: {out}/errors.csv")
    console.print(f"{out}  (epoch {result['best_epoch']} of {result['epochs']})")
