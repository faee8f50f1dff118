"""Display of a training: a bar, a line for each epoch, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from vfeat.cli.terminal import has_bars, make_console, make_table, one_line
from vfeat.train.head.watch import TrainWatch
from vfeat.train.task import SPLITS

if TYPE_CHECKING:
    from rich.console import Console

    from vfeat.train.head.dry_run import Outline
    from vfeat.train.head.store import HeadResult
    from vfeat.train.head.trainer import Epoch

NAMES = {"scan": "Reading features", "train": "Learning", "val": "Validating", "test": "Testing"}
SHOW_EVERY_S = 0.1


class LineTrainWatch(TrainWatch):
    """Display of lines on stderr."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def epoch_ended(self, lines: dict[str, Epoch], best: dict[str, int]) -> None:
        for task, line in lines.items():
            star = "  best so far" if line.best else f"  best was epoch {best[task]}"
            self.note(
                f"epoch {line.epoch:>3}  {task}  loss {line.train_loss:.4f}  "
                f"validation {line.val_loss:.4f}, score {line.val_score:.4f}{star}"
            )

    def note(self, text: str) -> None:
        self.console.print(one_line(text))


class BarTrainWatch(LineTrainWatch):
    """Display of the same lines above a bar of the current phase."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("videos"),
            console=console,
            transient=True,
        )
        self._task: TaskID = self.bars.add_task("Starting", total=None)
        self._shown_s = 0.0

    def advanced(self, phase: str, epoch: int, done: int, total: int) -> None:
        now_s = time.monotonic()
        if done < total and now_s - self._shown_s < SHOW_EVERY_S:
            return
        self._shown_s = now_s
        name = NAMES[phase] if phase == "scan" else f"{NAMES[phase]}, epoch {epoch}"
        self.bars.update(self._task, description=name, completed=done, total=total)


@contextmanager
def make_train_watch() -> Iterator[TrainWatch]:
    """Make a bar on a terminal, lines elsewhere."""
    console = make_console(stderr=True, soft_wrap=True)
    if not has_bars():
        yield LineTrainWatch(console)
        return
    watch = BarTrainWatch(console)
    with watch.bars:
        yield watch


def print_outline(found: Outline, to_stderr: bool) -> None:
    """Print the heads that a training would write, with the videos of each split."""
    console = make_console(stderr=to_stderr, soft_wrap=True)
    for note in found.notes:
        console.print(one_line(note))
    table = make_table()
    table.add_column("head", overflow="fold")
    for name in ("kind", "classes", *SPLITS):
        table.add_column(name, justify="right")
    for head in found.heads:
        counts = (f"{head.videos[split]:,}" for split in SPLITS)
        table.add_row(head.task, head.kind, f"{len(head.classes):,}", *counts)
    console.print(table)
    windows = "whole videos"
    if found.window_seconds is not None:
        windows = f"windows of {found.window_seconds:g} s every {found.hop_seconds:g} s"
    console.print(f"{one_line(found.out)}: at most {found.epochs:,} epochs of {windows}")


def print_heads(results: Sequence[HeadResult], to_stderr: bool = False) -> None:
    """Print each head beside mean pooling and a linear model on the same features."""
    table = make_table()
    table.add_column("head", overflow="fold")
    for name in ("split", "videos", "measure", "ViS4mer", "mean + linear"):
        table.add_column(name, justify="right")
    for result in results:
        for split, metrics in result.metrics.items():
            measure, value = metrics.headline()
            base = result.baseline[split].headline()[1]
            table.add_row(
                result.task,
                split,
                f"{metrics.videos:,}",
                measure,
                _text(measure, value),
                _text(measure, base),
            )
    console = make_console(stderr=to_stderr, soft_wrap=True)
    console.print(table)
    for result in results:
        uri = one_line(result.uri)
        console.print(f"{uri}  (epoch {result.best_epoch} of {result.epochs})")


def _text(measure: str, value: float) -> str:
    return f"{value:.4f}" if measure == "mse" else f"{100 * value:.1f} %"
