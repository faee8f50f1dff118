"""Optical flow as an auxiliary target of every token, beside the classes.

A label is a few bits about a whole clip; its flow is a number for every token, and localises what
matters. It is worth most if clips are few or the network starts from scratch (decision 0011).

Shape legend: B clips, T' tubelets, S' patches along a side, M moments; 2 is x, y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.errors import JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.optical_flow_head import FlowReader
from vfeat.models.videomamba_config import VideoMambaConfig
from vfeat.storage.root import Root
from vfeat.tables.parquet import parse_table
from vfeat.train.encoder.data.epoch_order import Pick
from vfeat.train.encoder.objectives.base import Classification, Losses, TrainBatch

F32 = npt.NDArray[np.float32]

UNIT = 0.01
"""Of the picture's side: displacements about this size and larger ones count by their logarithm,
so that a slow zoom is not lost beside a whip pan."""


class FlowClassification(Classification):
    """Cross-entropy, and beside it the distance of the predicted flow from the true one.

    Args:
        flow_loss: weight of that distance, a smooth L1 in logarithmic units.
    """

    model: FlowReader

    def __init__(
        self, model: FlowReader, label_smoothing: float, token_loss: float, flow_loss: float
    ) -> None:
        super().__init__(model, label_smoothing, token_loss)
        self.flow_loss = flow_loss

    def forward(self, batch: TrainBatch) -> Losses:
        tokens_BLD = self.model.forward_tokens(batch.video_BCTSS)
        losses, given_B = self.of_tokens(tokens_BLD, batch)
        read, true = self.model.read_flow(tokens_BLD).float(), batch.flow
        assert true is not None  # the trainer has it where the job asks for this objective
        known = ~true.isnan()
        # Without known flow, a zero that still has a gradient, which peers wait for.
        errors = F.smooth_l1_loss(read, true.where(known, read.detach()), reduction="none")
        flow_B = errors.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)
        flow = flow_B.mean()
        loss = losses["loss"] + self.flow_loss * flow
        return Losses({**losses, "loss": loss, "flow": flow}, given_B)


class FlowTable:
    """Ground truth of a list's videos, a Parquet file with a row for each.

    uri     as in the list
    rate    moments a second, from the first frame on
    maps    2 x 3 numbers for each moment: the affine map from a place of the scene to its place
            in the picture, from its middle, in its widths and heights; NaN where unknown

    Raises:
        JobError: not such a table.
        StorageError: it cannot be read.
    """

    def __init__(self, job: TrainEncoderJob, config: VideoMambaConfig) -> None:
        assert job.flow is not None  # the job has checked it
        self._job, self._config, self._uri = job, config, job.flow
        folder, _, name = self._uri.rpartition("/")
        data = Root(folder or ".").read_bytes(name)
        try:
            self._videos = _read(data)
        except (pa.ArrowException, AttributeError, KeyError, ValueError) as error:
            raise JobError(
                f"{self._uri}: expected a Parquet table with the columns uri, rate (moments a "
                f"second) and maps (lists of 2 x 3 numbers for each moment): {error}"
            ) from error

    def of(self, picks: Sequence[Pick]) -> Tensor:
        """Compute the true flow of clips.

        Returns:
            float32 (B, T', S', S', 2) in logarithmic units; NaN where it is unknown.

        Raises:
            JobError: the table does not have a video.
        """
        shape = (len(picks), self._config.tubelets, *[self._config.grid] * 2, 2)
        flow = np.full(shape, np.nan, np.float32)
        for place, pick in enumerate(picks):
            flow[place] = self._of_clip(pick)
        return torch.from_numpy(np.arcsinh(flow / UNIT))

    def _of_clip(self, pick: Pick) -> F32:
        job, side = self._job, self._config.grid
        rate, maps_M23 = self._of_video(pick.footage.sample.video.uri)
        start_s = pick.clip_index * float(job.clip_spec.stride)
        frames_s = start_s + (np.arange(job.num_frames) + 0.5) * job.clip_seconds / job.num_frames
        moments = np.minimum((frames_s * rate).round().astype(int), len(maps_M23) - 1)
        centres = (np.arange(side) + 0.5) / side - 0.5
        place_SS2 = np.stack(np.meshgrid(centres, centres), axis=-1)
        spans = moments.reshape(self._config.tubelets, -1)
        return np.stack([_displacement(maps_M23[m[0] : m[-1] + 1], place_SS2) for m in spans])

    def _of_video(self, uri: str) -> tuple[float, F32]:
        """Look a video up by its URI's last parts.

        The list and the table may be relative to other folders.
        """
        parts = uri.split("/")
        for first in range(len(parts)):
            found = self._videos.get("/".join(parts[first:]))
            if found is not None:
                return found
        raise JobError(f"{self._uri} has no row for {uri}")


def _read(data: bytes) -> dict[str, tuple[float, F32]]:
    """Read rate and maps [M, 2, 3] by URI."""
    table = parse_table(data, ["uri", "rate", "maps"])
    maps = table["maps"].combine_chunks()
    offsets = maps.offsets.to_numpy()
    values = maps.values.to_numpy(zero_copy_only=False).astype(np.float32)
    return {
        uri: (rate, values[first:last].reshape(-1, 2, 3))
        for uri, rate, first, last in zip(
            table["uri"].to_pylist(), table["rate"].to_pylist(), offsets, offsets[1:], strict=False
        )
    }


def _displacement(maps_M23: F32, place_SS2: npt.NDArray[np.float64]) -> F32:
    """Compute the displacement at each place from the first moment to the last, (S', S', 2)."""
    if np.isnan(maps_M23).any():  # a transition on the way
        return np.full(place_SS2.shape, np.nan, np.float32)
    first, last = maps_M23[0].astype(np.float64), maps_M23[-1].astype(np.float64)
    scene_SS2 = (place_SS2 - first[:, 2]) @ np.linalg.inv(first[:, :2]).T
    moved_SS2 = scene_SS2 @ last[:, :2].T + last[:, 2]
    return np.asarray(moved_SS2 - place_SS2, dtype=np.float32)
