"""The end of worker processes whose node's Ray is gone."""

from __future__ import annotations

import os
import threading
import time

LOOK_S = 5.0


def end_with_raylet(look_s: float = LOOK_S) -> None:
    """End this process soon after the process that started it.

    A worker of Ray notices the end of its raylet between two calls. One that is in the middle of a
    long call would go on for as long, hold its GPU and keep its decoder children.

    Args:
        look_s: seconds between two looks.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(look_s)
        os._exit(1)

    threading.Thread(target=watch, name="vfeat-orphan", daemon=True).start()
