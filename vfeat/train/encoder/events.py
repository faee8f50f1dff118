"""TensorBoard's event files, where tensorboardX is installed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from vfeat.train.encoder.history import EpochLine
from vfeat.train.encoder.store import EncoderStore

MISSING = "no TensorBoard events: tensorboardX is not installed. Run: pip install 'vfeat[train]'"


class Events:
    """Scalars of each epoch, written to a temporary file and published whole, S3 or not."""

    def __init__(self, store: EncoderStore, first_epoch: int) -> None:
        self._store = store
        self._writer: Any = None
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="vfeat-events-")
        self._writer = SummaryWriter(self._folder.name, purge_step=first_epoch)

    @property
    def missing(self) -> str | None:
        """Why there are none; None when there are."""
        return MISSING if self._writer is None else None

    def write(self, line: EpochLine) -> None:
        """One epoch."""
        if self._writer is None:
            return
        scalars = {f"train/{name}": value for name, value in line.losses.items()}
        scalars |= {"lr": line.lr, "waited_share": line.waited_share}
        scalars |= {f"val/{name}": value for name, value in (line.val_losses or {}).items()}
        if line.val is not None:
            name, value = line.val.headline()
            scalars |= {f"val/{name}": value, "val/loss": line.val.loss}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, line.epoch)
        self._writer.flush()
        for path in Path(self._folder.name).iterdir():
            self._store.write_file(path.name, path.read_bytes())

    def close(self) -> None:
        """Nothing more will be written."""
        if self._writer is not None:
            self._writer.close()
            self._folder.cleanup()
