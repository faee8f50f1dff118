"""Display of an encoder's training: a bar, a line for each epoch, tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from vfeat.cli.interrupt import signals_to
from vfeat.cli.terminal import has_bars, make_console, make_table, one_line
from vfeat.train.encoder.watch import EncoderWatch, Phase

if TYPE_CHECKING:
    from rich.console import Console

    from vfeat.train.encoder.dry_run import Outline
    from vfeat.train.encoder.history import EpochLine

NAMES: dict[Phase, str] = {
    "probe": "Reading headers",
    "embed": "Embedding",
    "train": "Learning",
    "val": "Validating",
    "test": "Testing",
}
SHOW_EVERY_S = 0.1
LINE_EVERY_S = 60.0


class LineEncoderWatch(EncoderWatch):
    """Display of lines on stderr."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.asked_to_stop = False
        self._told_s = time.monotonic()

    def stopping(self) -> bool:
        return self.asked_to_stop

    def advanced(self, phase: Phase, epoch: int, done: int, total: int, loss: float) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < LINE_EVERY_S:
            return
        self._told_s = now_s
        where = NAMES[phase] if epoch == 0 else f"{NAMES[phase]}, epoch {epoch}"
        so_far = f", loss {loss:.4f}" if phase == "train" else ""
        self.note(f"{where}: {done:,} of {total:,}{so_far}")

    def epoch_ended(self, line: EpochLine) -> None:
        parts = [f"epoch {line.epoch:>3}", f"loss {line.losses.get('loss', 0.0):.4f}"]
        if line.val is not None:
            name, value = line.val.headline()
            parts.append(f"validation {name} {100 * value:.1f} %, loss {line.val.loss:.4f}")
        elif line.val_losses:
            parts.append(f"validation loss {line.val_losses['loss']:.4f}")
        parts.append(f"{line.seconds:.0f} s, {100 * line.waited_share:.0f} % waiting for clips")
        if line.best:
            parts.append("best so far")
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        self.console.print(one_line(text))


class BarEncoderWatch(LineEncoderWatch):
    """Display of the same lines above a bar of the current phase."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("clips"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._phase: tuple[str, int] | None = None
        self._shown_s = 0.0

    def advanced(self, phase: Phase, epoch: int, done: int, total: int, loss: float) -> None:
        now_s = time.monotonic()
        if done < total and now_s - self._shown_s < SHOW_EVERY_S:
            return
        self._shown_s = now_s
        name = NAMES[phase] if epoch == 0 else f"{NAMES[phase]}, epoch {epoch}"
        if (phase, epoch) != self._phase or self._task is None:
            if self._task is not None:
                self.bars.remove_task(self._task)
            self._phase, self._task = (phase, epoch), self.bars.add_task(name, total=total)
        shown = f"{name}, loss {loss:.4f}" if phase == "train" else name
        self.bars.update(self._task, description=shown, completed=done, total=total)


@contextmanager
def make_encoder_watch(again: str) -> Iterator[EncoderWatch]:
    """Make a bar on a terminal, lines elsewhere; the first Ctrl-C stops after the step."""
    console = make_console(stderr=True, soft_wrap=True)
    watch = BarEncoderWatch(console) if has_bars() else LineEncoderWatch(console)

    def stop() -> None:
        if watch.asked_to_stop:
            raise KeyboardInterrupt
        watch.asked_to_stop = True
        watch.note(
            "Stopping; a checkpoint is kept of what was learnt. Again to leave now. "
            "Go on later with:"
        )
        watch.note(f"  {again}")

    bars = watch.bars if isinstance(watch, BarEncoderWatch) else nullcontext()
    with signals_to(stop), bars:
        yield watch


def print_outline(found: Outline, to_stderr: bool) -> None:
    """Print the result of a dry run."""
    console = make_console(stderr=to_stderr, soft_wrap=True)
    _print_counts(console, found.videos)
    console.print(f"{found.parameters:,} parameters, {found.gflops:.2f} GFLOP for one clip forward")
    console.print(f"{found.steps:,} steps, {found.petaflops:.3f} PFLOP")


def _print_counts(console: Console, videos: dict[str, dict[str, int]]) -> None:
    table = make_table()
    table.add_column("class", overflow="fold")
    for split in ("train", "val", "test"):
        table.add_column(split, justify="right")
    for name, counts in videos.items():
        table.add_row(name, *(f"{counts[split]:,}" for split in ("train", "val", "test")))
    sums = [sum(counts[split] for counts in videos.values()) for split in ("train", "val", "test")]
    table.add_section()
    table.add_row("all", *(f"{count:,}" for count in sums))
    console.print(table)


def print_encoder(result: dict[str, Any], to_stderr: bool = False) -> None:
    """Print each class with its share of right answers; `result` is the content of metrics.json."""
    console = make_console(stderr=to_stderr, soft_wrap=True)
    splits: dict[str, Any] = result["metrics"]
    out = one_line(result["out"])
    if splits:
        table = make_table()
        table.add_column("class", overflow="fold")
        for split in splits:
            table.add_column(f"{split}, videos", justify="right")
            table.add_column(f"{split}, top-1", justify="right")
        for name in result["classes"]:
            cells = [m["per_class"][name] for m in splits.values()]
            table.add_row(
                name,
                *(text for c in cells for text in (f"{c['videos']:,}", _percent(c["top1"]))),
            )
        table.add_section()
        every = ((f"{m['videos']:,}", _percent(m["top1"])) for m in splits.values())
        table.add_row("all", *(text for pair in every for text in pair))
        console.print(table)
    if result["broken"]:
        console.print(f"{result['broken']} videos could not be read: {out}/errors.csv")
    console.print(
        f"{out}  (epoch {result['best_epoch']} of {result['epochs']}, "
        f"{_percent(result['waited_share'])} of the time waiting for clips)"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
