"""The command line. Commands load what they need when they run, never at import."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; print errors of vfeat as one sentence and exit with their code."""
    from vfeat.cli.terminal import say_error, take_over_streams

    take_over_streams()
    from vfeat.cli.app import app
    from vfeat.errors import VfeatError

    try:
        app(prog_name="vfeat")
    except VfeatError as error:
        say_error(error)
        sys.exit(error.exit_code)
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a reader that has left can still be dealt with
