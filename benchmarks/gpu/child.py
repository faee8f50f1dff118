"""The process of one step: `python -m benchmarks.gpu.child FUNCTION RESULT SCRATCH SECONDS`.

With a fifth argument, `rehearse`, it runs on the CPU. The exit code is 1 where the step failed.
"""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from pathlib import Path

from benchmarks.gpu.assignment import Assignment, StepFailed


def main(arguments: list[str]) -> int:
    """Run the step; its result file ends with `error`, or with `done`."""
    function, result, scratch, seconds, *mode = arguments
    deadline_s = time.monotonic() + float(seconds)
    assignment = Assignment(Path(result), Path(scratch), deadline_s, mode == ["rehearse"])
    module, _, name = function.partition(":")
    try:
        getattr(importlib.import_module(module), name)(assignment)
    except StepFailed as failure:
        print(failure, flush=True)
        assignment.write(error=str(failure))
        return 1
    except Exception:  # whatever it is, it is the result of this step
        text = traceback.format_exc()
        print(text, flush=True)
        assignment.write(error=text)
        return 1
    assignment.write(done=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
