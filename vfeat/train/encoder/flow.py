"""Learning from how the picture moves, token by token, beside the classes.

A label is a few bits about a whole clip; its flow is a number for every token, and says where
to look. Worth most where clips are few or the network begins with fresh values (decision 0012).

Four numbers for each token: x and y, how far the content goes during its tubelet; the length of
its way, which a camera that trembles has without going far; and whether the picture changes, by a
cut, a dissolve or a fade, within the tubelet or at its ends.

Shape legend: B clips, T' tubelets, S' patches along a side, M moments, F frames of a tubelet.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.errors import JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.flow_reader import FlowReader
from vfeat.models.registry import VideoMambaConfig
from vfeat.storage.root import Root
from vfeat.train.encoder.objective import Classification, TrainBatch
from vfeat.train.encoder.order import Pick

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

UNIT = 0.01
"""Of the picture's side: displacements about this size and larger ones count by their logarithm,
so that a slow zoom is not lost beside a whip pan."""


class FlowClassification(Classification):
    """Cross-entropy, and beside it the distance of the flow that is read from the true one.

    Args:
        flow_loss: weight of that distance: a smooth L1 of the motion in logarithmic units, and
            the cross-entropy of the change.
    """

    model: FlowReader

    def __init__(
        self, model: FlowReader, label_smoothing: float, token_loss: float, flow_loss: float
    ) -> None:
        super().__init__(model, label_smoothing, token_loss)
        self.flow_loss = flow_loss

    def forward(self, batch: TrainBatch) -> dict[str, Tensor]:
        tokens_BLD = self.model.forward_tokens(batch.video_BCTSS)
        losses = self.of_tokens(tokens_BLD, batch)
        read, true = self.model.read_flow(tokens_BLD).float(), batch.flow
        assert true is not None  # the trainer has it where the job asks for this objective
        known = ~true.isnan()
        # Where nothing is known, zero that still has a gradient, which peers wait for.
        true = true.where(known, read.detach())
        distance = F.smooth_l1_loss(read[..., :3], true[..., :3], reduction="none")
        surprise = F.binary_cross_entropy_with_logits(
            read[..., 3:], true[..., 3:].clamp(0, 1), reduction="none"
        )
        flow = _mean_of_clips(distance, known[..., :3]) + _mean_of_clips(surprise, known[..., 3:])
        return {**losses, "loss": losses["loss"] + self.flow_loss * flow, "flow": flow}


def _mean_of_clips(errors_BTSSX: Tensor, known_BTSSX: Tensor) -> Tensor:
    """Of each clip the mean of what is known, 0 where nothing is; then of all clips."""
    sum_B = (errors_BTSSX * known_BTSSX).flatten(1).sum(1)
    return (sum_B / known_BTSSX.flatten(1).sum(1).clamp(min=1)).mean()


class FlowTable:
    """The truth about a list's videos, a Parquet file with a row for each.

    uri     as in the list
    rate    moments a second, from the first frame on
    maps    2 x 3 numbers for each moment: the affine map from a place of the scene to its place
            in the picture, from its middle, in its widths and heights; NaN in a transition and
            at the first moment after it

    Raises:
        JobError: not such a table.
        StorageError: it cannot be read.
    """

    def __init__(self, job: TrainEncoderJob, config: VideoMambaConfig) -> None:
        assert job.flow_table is not None  # the job has checked it
        self._job, self._config, self._uri = job, config, job.flow_table
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
        """The truth, float32 (B, T', S', S', 4): x, y and way in logarithmic units, NaN in a
        transition, and change, 0 or 1.

        Raises:
            JobError: the table does not have a video.
        """
        shape = (len(picks), self._config.tubelets, *[self._config.grid] * 2, 4)
        flow = np.full(shape, np.nan, np.float32)
        for place, pick in enumerate(picks):
            flow[place] = self._of_clip(pick)
        flow[..., :3] = np.arcsinh(flow[..., :3] / UNIT)
        return torch.from_numpy(flow)

    def _of_clip(self, pick: Pick) -> F32:
        job, side = self._job, self._config.grid
        rate, maps_M23 = self._of_video(pick.footage.sample.video.uri)
        start_s = pick.clip_index * float(job.clip_spec.stride)
        frames_s = start_s + (np.arange(job.num_frames) + 0.5) * job.clip_seconds / job.num_frames
        moments = np.minimum((frames_s * rate).round().astype(int), len(maps_M23) - 1)
        centres = (np.arange(side) + 0.5) / side - 0.5
        place_SS2 = np.stack(np.meshgrid(centres, centres), axis=-1)
        tubelets = moments.reshape(self._config.tubelets, -1)
        flow = np.empty((len(tubelets), side, side, 4), np.float32)
        for index, own_F in enumerate(tubelets):
            before = own_F[0] if index == 0 else tubelets[index - 1, -1]
            after = own_F[-1] if index == len(tubelets) - 1 else tubelets[index + 1, 0]
            flow[index, ..., :3] = _motion(maps_M23, own_F, place_SS2)
            flow[index, ..., 3] = np.isnan(maps_M23[before + 1 : after + 1]).any()
        return flow

    def _of_video(self, uri: str) -> tuple[float, F32]:
        """By the URI's last parts: the list and the table may count from other folders."""
        parts = uri.split("/")
        for first in range(len(parts)):
            found = self._videos.get("/".join(parts[first:]))
            if found is not None:
                return found
        raise JobError(f"{self._uri} has no row for {uri}")


def _read(data: bytes) -> dict[str, tuple[float, F32]]:
    """Rate and maps [M, 2, 3] by URI."""
    table = pq.read_table(io.BytesIO(data), columns=["uri", "rate", "maps"])
    maps = table["maps"].combine_chunks()
    offsets = maps.offsets.to_numpy()
    values = maps.values.to_numpy(zero_copy_only=False).astype(np.float32)
    return {
        uri: (rate, values[first:last].reshape(-1, 2, 3))
        for uri, rate, first, last in zip(
            table["uri"].to_pylist(), table["rate"].to_pylist(), offsets, offsets[1:], strict=False
        )
    }


def _motion(maps_M23: F32, moments_F: npt.NDArray[np.int64], place_SS2: F64) -> F32:
    """From each place at the first of the moments: x, y and length of its content's way."""
    if np.isnan(maps_M23[moments_F[0] : moments_F[-1] + 1]).any():  # a transition on the way
        return np.full((*place_SS2.shape[:2], 3), np.nan, np.float32)
    first, *_ = maps_F23 = maps_M23[moments_F].astype(np.float64)
    scene_SS2 = (place_SS2 - first[:, 2]) @ np.linalg.inv(first[:, :2]).T
    seen_FSS2 = np.einsum("fij,abj->fabi", maps_F23[:, :, :2], scene_SS2)
    seen_FSS2 += maps_F23[:, None, None, :, 2]
    way_SS = np.linalg.norm(np.diff(seen_FSS2, axis=0), axis=-1).sum(0)
    moved_SS2 = seen_FSS2[-1] - seen_FSS2[0]
    return np.concatenate([moved_SS2, way_SS[..., None]], axis=-1, dtype=np.float32)
