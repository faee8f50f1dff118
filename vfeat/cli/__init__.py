"""The command line. Commands load what they need when they run, never at import."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: our errors become one sentence and their exit code."""
    from vfeat.cli.app import app
    from vfeat.errors import VfeatError

    try:
        app(prog_name="vfeat")
    except VfeatError as error:
        print(f"vfeat: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
