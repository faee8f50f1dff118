"""Retrieval of a dataset's videos by their captions: by the dot product, and after re-ranking.

The dot product is that of the official evaluation: with the mean of a video's unit vectors as it is
stored, not brought to length one. A video of several clips counts by its nearest one.

Shape suffixes: T captions, V videos, N clips.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.extract.rerank import Reranker
from vfeat.search.captions import CaptionedClips, captioned_clips
from vfeat.search.retrieval_score import RetrievalScores, best_first, retrieval_scores
from vfeat.search.text_query import open_text_side
from vfeat.tables.dataset import FeatureDataset


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        captions, videos: their numbers.
        dot_product: by the vectors alone.
        reranked: after re-ranking by the matching head; None without it.
        compared: pairs of a clip and a caption that the matching head was asked about.
        lost: clips among them that cannot be decoded any more.
    """

    captions: int
    videos: int
    dot_product: RetrievalScores
    reranked: RetrievalScores | None = None
    compared: int = 0
    lost: int = 0


def evaluate_retrieval(
    dataset: FeatureDataset, source: str, rerank: int | None = None, device: str = "auto"
) -> Evaluation:
    """Evaluate a dataset whose model embeds sentences.

    Args:
        source: list with the columns `uri` and `caption`.
        rerank: nearest ones of each query that the matching head re-orders; None for none.
        device: auto, cpu or cuda.

    Raises:
        JobError: the model has no text side, or no matching head where one is needed; the list has
            other columns, or videos that the dataset has no clips of.
        NodeDiffers, EnvironmentMissing, StorageError: as `embed_text`.
    """
    text_side = open_text_side(dataset.recipe, device)
    listed = captioned_clips(dataset, source)
    near_TN = text_side.embed(listed.captions) @ listed.vectors_ND.T
    score_TV, clip_TV = _by_video(near_TN, listed)
    video_T = listed.video_T
    dot = retrieval_scores(
        [best_first(row) for row in score_TV], [best_first(row) for row in score_TV.T], video_T
    )
    if rerank is None:
        return Evaluation(len(video_T), len(listed.uris), dot)
    reranker = Reranker(dataset.recipe, text_side)
    wanted = _wanted(score_TV, rerank)
    match_TV, lost = _matches(reranker, listed, wanted, clip_TV)
    matched = retrieval_scores(
        [best_first(s, m) for s, m in zip(score_TV, match_TV, strict=True)],
        [best_first(s, m) for s, m in zip(score_TV.T, match_TV.T, strict=True)],
        video_T,
    )
    return Evaluation(len(video_T), len(listed.uris), dot, matched, int(wanted.sum()), lost)


def _by_video(
    near_TN: npt.NDArray[np.float32], listed: CaptionedClips
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return each video's score for each caption, and the clip that has it."""
    shape = len(near_TN), len(listed.uris)
    score_TV, clip_TV = np.empty(shape, np.float32), np.empty(shape, np.int64)
    for video in range(len(listed.uris)):
        own = np.flatnonzero(listed.video_N == video)
        best_T = near_TN[:, own].argmax(1)
        clip_TV[:, video] = own[best_T]
        score_TV[:, video] = near_TN[np.arange(len(near_TN)), own[best_T]]
    return score_TV, clip_TV


def _wanted(score_TV: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.bool_]:
    """Return the pairs to compare: the nearest of each caption, and of each video."""
    wanted_TV = np.zeros(score_TV.shape, bool)
    for text, row in enumerate(score_TV):
        wanted_TV[text, best_first(row)[:count]] = True
    for video, column in enumerate(score_TV.T):
        wanted_TV[best_first(column)[:count], video] = True
    return wanted_TV


def _matches(
    reranker: Reranker,
    listed: CaptionedClips,
    wanted_TV: npt.NDArray[np.bool_],
    clip_TV: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the probability of each wanted pair, NaN for all others, and the clips that are lost.

    Every clip is decoded once, and its tokens live for a batch.
    """
    pairs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for text, video in np.argwhere(wanted_TV).tolist():
        pairs[int(clip_TV[text, video])].append((text, video))
    places = {(listed.uris[listed.video_N[n]], int(listed.clip_N[n])): n for n in pairs}
    sentences = reranker.pair.encode(listed.captions)
    match_TV = np.full(wanted_TV.shape, np.nan, np.float32)
    done = 0
    for keys, tokens_BND in reranker.tokens(list(places)):
        done += len(keys)
        asked = [(b, *pair) for b, key in enumerate(keys) for pair in pairs[places[key]]]
        found = reranker.pair.match(tokens_BND, sentences, [(b, text) for b, text, _ in asked])
        for (_, text, video), probability in zip(asked, found, strict=True):
            match_TV[text, video] = probability
    return match_TV, len(places) - done
