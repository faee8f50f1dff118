"""Re-ranking: the clips that a search found, decoded again and compared with the sentence itself.

The dot product compares two vectors; the matching head lets every word attend to every patch of the
clip. It is slow, and is asked about the nearest clips alone.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vfeat.errors import JobError, UnitError
from vfeat.extract.query import probe
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, TaskDone
from vfeat.models.pixels import Pixels
from vfeat.models.retrieval.sentences import WordsAndVideo
from vfeat.search.hit import Hit
from vfeat.search.text_query import TextEncoder

_BATCH = 4  # clips in the network at once


class Reranker:
    """A dual encoder that re-orders the hits of sentences.

    Args:
        recipe: the dataset's.
        text_side: what `open_text_side` returns for it.

    Raises:
        JobError: it has no matching head.
    """

    def __init__(self, recipe: Recipe, text_side: TextEncoder) -> None:
        if not isinstance(text_side, WordsAndVideo):
            raise JobError(
                f"the text side of {recipe.model.name} has no matching head, which re-ranking "
                "takes; leave out --rerank"
            )
        self.recipe = recipe
        self.pair = text_side
        frame = recipe.frame
        self._mean = torch.tensor(frame.mean, device=self.pair.device)
        self._std = torch.tensor(frame.std, device=self.pair.device)

    def rerank(self, sentence: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits by the probability that they match the sentence, best first.

        A clip that cannot be decoded any more has no such probability: it stands at the end, in the
        order of the search.
        """
        numbers = {(hit.uri, hit.clip_index): number for number, hit in enumerate(hits)}
        encoded = self.pair.encode([sentence])
        found: dict[int, float] = {}
        for keys, tokens_BND in self.tokens(list(numbers)):
            matches = self.pair.match(tokens_BND, encoded, [(b, 0) for b in range(len(keys))])
            found |= dict(zip((numbers[key] for key in keys), matches.tolist(), strict=True))
        scored = [dataclasses.replace(hits[n], match=found.get(n)) for n in range(len(hits))]
        return sorted(scored, key=lambda hit: hit.rank, reverse=True)

    @torch.inference_mode()
    def tokens(
        self, clips: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[list[tuple[str, int]], Tensor]]:
        """Decode clips and yield tokens (B, N, D) of some, with the clips that they are of.

        Args:
            clips: URI of the video and number of the clip; those that cannot be decoded are left
                out.
        """
        keys: list[tuple[str, int]] = []
        pictures: list[np.ndarray] = []
        for key, frames_VTSSC in self._decoded(clips):
            keys.append(key)
            pictures.append(frames_VTSSC[len(frames_VTSSC) // 2])  # of three crops the middle one
            if len(keys) == _BATCH:
                yield keys, self._encode(np.stack(pictures))
                keys, pictures = [], []
        if keys:
            yield keys, self._encode(np.stack(pictures))

    def _decoded(
        self, clips: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
        by_video: dict[str, list[int]] = defaultdict(list)
        for uri, number in clips:
            by_video[uri].append(number)
        recipe = self.recipe
        with DecodePool(recipe.clip, recipe.frame, DecodeLimits(), 1) as pool:
            for uri, wanted in by_video.items():
                try:
                    line = probe(pool, uri).timeline
                except UnitError:
                    continue
                for first, last in _ranges(wanted):
                    pool.submit(DecodeTask(1, "candidate", uri, None, line, first, last))
                    while not isinstance(event := pool.next_event(), TaskDone):
                        if isinstance(event, ClipReady):
                            yield (uri, event.clip_index), np.array(event.frames)
                            event.release()

    def _encode(self, frames_BTSSC: np.ndarray) -> Tensor:
        frames = torch.from_numpy(frames_BTSSC).to(self.pair.device)
        return self.pair.model.embed_video(Pixels(frames, self._mean, self._std)).tokens_BND


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield inclusive ranges of neighbouring numbers, ascending."""
    first = last = None
    for number in sorted(set(numbers)):
        if last is not None and number != last + 1:
            assert first is not None
            yield first, last
            first = number
        first = number if first is None else first
        last = number
    if first is not None and last is not None:
        yield first, last
