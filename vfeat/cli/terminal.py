"""Output to a terminal, a pipe or a log: the one door for all that the commands print.

No password and no signature of an address is printed.

Names of files, videos, labels and heads, and messages of other libraries, are not ours. Here they
are never markup, their control characters are written out, and what the stream's encoding cannot
hold is escaped, so that no output fails or steers the terminal.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, TextIO

from vfeat.addresses import redacted, without_secrets
from vfeat.plain_text import IN_NAMES, IN_SENTENCES
from vfeat.plain_text import one_line as one_line
from vfeat.plain_text import sentences as sentences

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from vfeat.errors import VfeatError

OUTPUT_CLOSED = 141  # what a shell reports of a program whose reader has left (128 + SIGPIPE)


class Output(io.TextIOWrapper):
    """A standard stream that escapes what its encoding cannot hold and ends in order."""

    def __init__(self, stream: TextIO, *, is_stdout: bool) -> None:
        """Take over a standard stream, which is not to be used any more."""
        stream.flush()
        self._is_stdout = is_stdout
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=not is_stdout or stream.isatty(),
        )

    def write(self, text: str) -> int:
        """Write, or leave when the reader has left.

        What is printed past the functions below goes through here: a traceback, a usage error.
        """
        try:
            return super().write(redacted(text))
        except BrokenPipeError:
            self._end()
            return len(text)

    def flush(self) -> None:
        """Flush; exit when the reader has closed the stream."""
        try:
            super().flush()
        except BrokenPipeError:
            self._end()

    def _end(self) -> None:
        # What is still buffered has to go somewhere: the interpreter flushes again at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        # Nobody reading the notes and the progress is no reason to stop the work.
        if self._is_stdout:
            raise SystemExit(OUTPUT_CLOSED)


def take_over_streams() -> None:
    """Make the process's own stdout and stderr safe for any text.

    Called at the start of the command line. Streams that somebody has put in their place stay.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout = Output(sys.stdout, is_stdout=True)
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr is sys.__stderr__:
        sys.stderr = Output(sys.stderr, is_stdout=False)


def say(text: str, *, to_stderr: bool = False) -> None:
    """Print our own text, which may have several lines and hold names."""
    print(sentences(text), file=sys.stderr if to_stderr else sys.stdout)


def say_error(error: VfeatError) -> None:
    """Print an error: each of its arguments is a line."""
    first, *further = map(one_line, error.lines)
    print("\n".join([f"vfeat: {first}", *further]), file=sys.stderr)


def say_json(value: Any) -> None:
    """Print a result as JSON that any stream can hold and that does not steer a terminal."""
    ascii_only = not is_unicode(sys.stdout)
    text = json.dumps(without_secrets(value), indent=1, ensure_ascii=ascii_only)
    print(IN_SENTENCES.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def is_unicode(stream: TextIO | None) -> bool:
    """Return whether a stream takes every character."""
    encoding: str = getattr(stream, "encoding", None) or "utf-8"
    return encoding.lower().startswith("utf")


def has_bars() -> bool:
    """Return whether stderr is a terminal on which a bar can be drawn again and again."""
    return bool(sys.stderr and sys.stderr.isatty()) and os.environ.get("TERM") != "dumb"


def make_console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Make the console for tables and bars: no markup, no emoji codes, no highlighting.

    Args:
        stderr: print there instead of on stdout.
        soft_wrap: leave long lines outside of tables to the terminal.
    """
    from rich.console import Console
    from rich.text import Text

    class SafeConsole(Console):
        """Console on which any string, in a table's cell or alone, is only text."""

        def render_str(self, text: str, **options: Any) -> Text:
            # Escaped before the layout, so that columns are as wide as what is written.
            held = sentences(text).encode(self.encoding, "backslashreplace").decode(self.encoding)
            return super().render_str(held, **options)

    return SafeConsole(
        stderr=stderr,
        soft_wrap=soft_wrap,
        markup=False,
        emoji=False,
        highlight=False,
        # rich itself would keep bold and dim text
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def make_table(title: str | None = None, **options: Any) -> Table:
    """Make a table whose cells have one line each, whatever the names in them hold.

    Args:
        options: as rich's Table takes them.
    """
    from rich.table import Table

    class OneLineTable(Table):
        """Table that writes out the control characters of its cells."""

        def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
            lines = (one_line(cell) if isinstance(cell, str) else cell for cell in cells)
            super().add_row(*lines, **options)

    return OneLineTable(title=None if title is None else one_line(title), **options)


def this_command() -> str:
    """Return the command that runs now, as it can be typed again."""
    return command_line(*sys.argv[1:])


def command_line(*arguments: str) -> str:
    """Return a vfeat command as it can be typed, quoted where it has to be."""
    return " ".join(["vfeat", *map(_quote, arguments)])


def _quote(argument: str) -> str:
    if not IN_NAMES.search(argument):
        return shlex.quote(argument)
    # bash and zsh read such a word back; an apostrophe and a backslash need one before them
    escaped = re.sub(r"[\\']", r"\\\g<0>", argument)
    return f"$'{one_line(escaped)}'"
