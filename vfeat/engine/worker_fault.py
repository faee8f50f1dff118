"""The end of a worker, and whose fault it was."""

from __future__ import annotations

import socket
from typing import Literal

from vfeat.errors import DeviceLost

Owner = Literal["lease", "node", "nobody", "cluster"]
TAIL_LINES = 12
_DEVICE = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS_", "cuDNN error", "NVML_")


class WorkerFault(Exception):
    """Error: a call to a worker failed, for a reason that vfeat did not raise itself.

    Attributes:
        owner: lease: the process ended or raised by itself, so that what it had in hand is
            suspected; node: its machine is short of something; nobody: it was lost with its
            node, preempted or evicted; cluster: nothing can be started any more.
        has_ended: the process is gone.
        text: the whole report, with a traceback where there is one.
    """

    def __init__(self, owner: Owner, text: str, *, has_ended: bool = False) -> None:
        super().__init__(text)
        self.owner = owner
        self.has_ended = has_ended
        self.text = text.strip()

    @property
    def first_line(self) -> str:
        """First line of the report."""
        return self.text.splitlines()[0] if self.text else "no reason given"

    @property
    def tail(self) -> list[str]:
        """Last lines of the report."""
        return self.text.splitlines()[-TAIL_LINES:]


def device_lost(error: BaseException) -> DeviceLost | None:
    """Return what an error of a worker means where its GPU raised it; None for all others."""
    text = str(error)
    if type(error).__name__ != "AcceleratorError" and not any(sign in text for sign in _DEVICE):
        return None
    return DeviceLost(
        f"a GPU of {socket.gethostname()} failed: {text.splitlines()[0] if text else 'no reason'}; "
        "`nvidia-smi` and `dmesg` there give more"
    )
