"""The model on its device: from uint8 clips to embeddings, labels and tokens.

Shape legend: B clips, V crops (views), T frames, S side in pixels, D width, K classes, N tokens
kept of a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vfeat.errors import EnvironmentMissing
from vfeat.extract.networks import load_network
from vfeat.job.fingerprint import Recipe
from vfeat.models.device import choose_device
from vfeat.models.flips import over_flips


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


class Encoder:
    """A loaded model, independent of the decoder children's lives."""

    def __init__(self, recipe: Recipe, device: str = "auto", batch_size: int | None = None) -> None:
        self.device = choose_device(device)
        self.output = recipe.output
        self.network = load_network(recipe, self.device)
        self.shape = self.network.shape
        self.views, self.flips = recipe.frame.crops, recipe.flips
        self.mean = torch.tensor(recipe.frame.mean, device=self.device).view(3, 1, 1, 1)
        self.std = torch.tensor(recipe.frame.std, device=self.device).view(3, 1, 1, 1)
        self.batch_size = batch_size or self._batch_by_memory()

    def _batch_by_memory(self) -> int:
        """Compute how many clips fit: about 60 values per token and channel are alive at once."""
        if self.device.type == "cpu":
            return 4  # beyond this a CPU gains nothing and the last batch waits longer
        free, _ = torch.cuda.mem_get_info(self.device)
        tokens = self.views * (1 + self.shape.steps * self.shape.patches)
        return int(max(1, min(256, 0.7 * free // (tokens * self.shape.dim * 60 * 4))))

    @torch.inference_mode()
    def encode(self, frames_BVTSSC: np.ndarray) -> list[Encoded]:
        """Run the model over uint8 RGB clips [B, V, T, S, S, 3]; return one result per clip."""
        try:
            features_BD, scores_BK, tokens_BND = self._forward(frames_BVTSSC)
        except torch.cuda.OutOfMemoryError:
            half = len(frames_BVTSSC) // 2
            if half == 0:
                raise EnvironmentMissing(
                    "one clip does not fit the GPU's free memory; use a smaller --size or model, "
                    "--dtype bfloat16, or fewer actors on the device"
                ) from None
            torch.cuda.empty_cache()
            self.batch_size = max(1, half)
            return self.encode(frames_BVTSSC[:half]) + self.encode(frames_BVTSSC[half:])
        stored = np.float16 if self.output.dtype == "bfloat16" else np.float32
        features = features_BD.float().cpu().numpy().astype(stored)
        labels = self._labels(scores_BK)
        tokens = None if tokens_BND is None else tokens_BND.float().cpu().numpy().astype(stored)
        return [
            Encoded(features[b], labels[b], None if tokens is None else tokens[b])
            for b in range(len(features))
        ]

    def _forward(self, frames: np.ndarray) -> tuple[Tensor, Tensor, Tensor | None]:
        B, V = frames.shape[:2]
        pixels = torch.from_numpy(frames)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        video = pixels.flatten(0, 1).permute(0, 4, 1, 2, 3).float().div_(255)
        video = (video - self.mean) / self.std
        half = self.output.dtype == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            features, scores, tokens = self.network(video)
            scores = over_flips(scores, video, self.flips, lambda v: self.network(v).scores_BK)
        return _mean(features, B, V), _mean(scores, B, V), tokens

    def _labels(self, scores_BK: Tensor) -> list[tuple[tuple[str, float], ...]]:
        k = min(self.output.top_k, scores_BK.shape[-1])
        top = scores_BK.topk(k, dim=-1) if k else None
        if top is None:
            return [()] * len(scores_BK)
        names = self.network.label_names
        return [
            tuple((names[i], p) for i, p in zip(indices, values, strict=True))
            for indices, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]


def _mean(values: Tensor, clips: int, views: int) -> Tensor:
    return values if views == 1 else values.float().view(clips, views, -1).mean(1)
