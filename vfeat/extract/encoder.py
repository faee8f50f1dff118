"""The model on its device: from uint8 clips to embeddings, labels and tokens.

Shape legend: B clips, V crops (views), T frames, S side in pixels, D width, K labels kept, N tokens
kept of a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vfeat.errors import EnvironmentMissing
from vfeat.extract.networks import load_network
from vfeat.job.fingerprint import Recipe
from vfeat.models.device import choose_device
from vfeat.models.flips import over_flips
from vfeat.models.pixels import Pixels
from vfeat.ops import graphs

_CPU_BATCH = 4  # beyond this a CPU gains nothing and the last batch waits longer


@dataclass(frozen=True)
class Encoded:
    """One clip's result.

    Attributes:
        embedding: [D], float32 or float16 as the recipe stores it.
        labels: (name, probability) pairs, best first.
        tokens: [steps, D] or [N, D], or None.
    """

    embedding: np.ndarray
    labels: tuple[tuple[str, float], ...]
    tokens: np.ndarray | None


class Outputs(NamedTuple):
    """Results of a batch, on its device, in the dtypes of the rows.

    Attributes:
        embedding_BD: float32 or float16.
        scores_BK: probabilities of the best classes, best first, float32.
        classes_BK: their indices.
        tokens_BND: as embedding_BD, or None.
    """

    embedding_BD: Tensor
    scores_BK: Tensor
    classes_BK: Tensor
    tokens_BND: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> Outputs:
        """Return the outputs with a change of each tensor."""
        *always, tokens_BND = self
        embedding_BD, scores_BK, classes_BK = (change(one) for one in always if one is not None)
        return Outputs(
            embedding_BD, scores_BK, classes_BK, None if tokens_BND is None else change(tokens_BND)
        )


class Encoder:
    """A loaded model, independent of the decoder children's lives.

    Attributes:
        batch_size: most clips of a batch; it shrinks when a batch does not fit the GPU's memory.
        clip_shape: of the uint8 pixels of a clip, VTSSC.
    """

    def __init__(self, recipe: Recipe, device: str = "auto", batch_size: int | None = None) -> None:
        self.device = choose_device(device)
        self.output = recipe.output
        self.network = load_network(recipe, self.device)
        self.shape = self.network.shape
        self.flips = recipe.flips
        size, frames = recipe.frame.size, recipe.clip.num_frames
        self.clip_shape = (recipe.frame.crops, frames, size, size, 3)
        self.mean_C = torch.tensor(recipe.frame.mean, device=self.device)
        self.std_C = torch.tensor(recipe.frame.std, device=self.device)
        self.stored = torch.float16 if self.output.dtype == "bfloat16" else torch.float32
        self.batch_size = batch_size or self._batch_by_memory()
        self._graphed: graphs.Graphed[Outputs] | None = None
        if self.device.type == "cuda" and self.network.weights is not None and graphs.wanted():
            self._graphed = graphs.Graphed(self._outputs, self.network.weights)

    def _batch_by_memory(self) -> int:
        """Compute how many clips fit: about 60 values per token and channel are alive at once."""
        if self.device.type == "cpu":
            return _CPU_BATCH
        free, _ = torch.cuda.mem_get_info(self.device)
        tokens = self.clip_shape[0] * (1 + self.shape.steps * self.shape.patches)
        return int(max(1, min(256, 0.7 * free // (tokens * self.shape.dim * 60 * 4))))

    def encode(self, frames_BVTSSC: np.ndarray) -> list[Encoded]:
        """Run the model over uint8 RGB clips [B, V, T, S, S, 3]; return one result per clip."""
        found: list[Encoded] = []
        for first in range(0, len(frames_BVTSSC), self.batch_size):
            part = torch.from_numpy(frames_BVTSSC[first : first + self.batch_size])
            found += self.encoded(self.run(part.to(self.device)).each(Tensor.cpu))
        return found

    def warm_up(self) -> None:
        """Run each batch size that a run uses once: kernels are compiled, graphs recorded.

        Afterwards `batch_size` is one that fits the device's memory.

        Raises:
            EnvironmentMissing: see `run`.
        """
        tried = None
        while tried != self.batch_size:
            tried = self.batch_size
            for size in reversed(graphs.graph_sizes(tried)):
                shape = (size, *self.clip_shape)
                self.run(torch.zeros(shape, dtype=torch.uint8, device=self.device))

    @torch.inference_mode()
    def run(self, frames_BVTSSC: Tensor) -> Outputs:
        """Start the model on a batch that is on its device; a GPU computes on when this returns.

        Args:
            frames_BVTSSC: uint8.

        Raises:
            EnvironmentMissing: a single clip does not fit the GPU's memory.
        """
        try:
            if self._graphed is None:
                return self._outputs(frames_BVTSSC)
            clips = len(frames_BVTSSC)
            return self._graphed(self._padded(frames_BVTSSC)).each(lambda one: one[:clips])
        except torch.cuda.OutOfMemoryError:
            half = len(frames_BVTSSC) // 2
            if half == 0:
                raise EnvironmentMissing(
                    "one clip does not fit the GPU's free memory; use a smaller --size or model, "
                    "--dtype bfloat16, or fewer actors on the device"
                ) from None
            torch.cuda.empty_cache()
            self.batch_size = half
        first, second = self.run(frames_BVTSSC[:half]), self.run(frames_BVTSSC[half:])
        rest = iter(one for one in second if one is not None)
        return first.each(lambda one: torch.cat([one, next(rest)]))

    def _padded(self, frames_BVTSSC: Tensor) -> Tensor:
        """Repeat the first clip up to the next of a few sizes, each of which is one graph."""
        clips = len(frames_BVTSSC)
        wanted = next((s for s in graphs.graph_sizes(self.batch_size) if s >= clips), clips)
        if wanted == clips:
            return frames_BVTSSC
        filling = frames_BVTSSC[:1].expand(wanted - clips, *frames_BVTSSC.shape[1:])
        return torch.cat([frames_BVTSSC, filling])

    def _outputs(self, frames_BVTSSC: Tensor) -> Outputs:
        B, V = frames_BVTSSC.shape[:2]
        pixels = Pixels(frames_BVTSSC.flatten(0, 1), self.mean_C, self.std_C)
        half = self.output.dtype == "bfloat16"
        # A graph would go on reading narrow copies of weights that are freed with their cache.
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=half, cache_enabled=self._graphed is None
        ):
            features, scores, tokens = self.network(pixels)
            scores = over_flips(scores, pixels, self.flips, lambda p: self.network(p).scores_BK)
        scores_BC = _mean(scores, B, V)
        best = scores_BC.topk(min(self.output.top_k, scores_BC.shape[-1]), dim=-1)
        return Outputs(
            _mean(features, B, V).float().to(self.stored),
            best.values,
            best.indices,
            None if tokens is None else tokens.float().to(self.stored),
        )

    def encoded(self, outputs: Outputs) -> list[Encoded]:
        """Return a batch's outputs, once they are in host memory, clip by clip.

        Args:
            outputs: on the CPU; their memory is kept, not copied.
        """
        embedding_BD, scores_BK, classes_BK = (one.numpy() for one in outputs[:3])
        tokens_BND = None if outputs.tokens_BND is None else outputs.tokens_BND.numpy()
        labels = self._labels(scores_BK, classes_BK)
        return [
            Encoded(embedding_BD[b], labels[b], None if tokens_BND is None else tokens_BND[b])
            for b in range(len(embedding_BD))
        ]

    def _labels(
        self, scores_BK: np.ndarray, classes_BK: np.ndarray
    ) -> Sequence[tuple[tuple[str, float], ...]]:
        names = self.network.label_names
        return [
            tuple((names[i], p) for i, p in zip(classes, scores, strict=True))
            for classes, scores in zip(classes_BK.tolist(), scores_BK.tolist(), strict=True)
        ]


def _mean(values: Tensor, clips: int, views: int) -> Tensor:
    return values if views == 1 else values.float().view(clips, views, -1).mean(1)
