"""Losses of clips and captions in a batch: contrastive, matching, hidden words.

Pairs that may be right are not negatives: two rows with the same caption, or with the same clip.

Shape legend: B rows of a batch, D width of the shared space, L tokens of a caption.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # target of a token whose prediction does not count
KEPT_SHARE, RANDOM_SHARE = 0.1, 0.1  # of the hidden words: as they are, and replaced by any word


def excluded_pairs(captions_B: Tensor, clips_B: Tensor) -> Tensor:
    """Find the pairs of different rows that are not negatives of each other.

    Args:
        captions_B, clips_B: int64; equal numbers are equal captions or clips.

    Returns:
        bool [B, B], symmetric, False on the diagonal.
    """
    same_BB = captions_B[:, None] == captions_B
    same_BB = same_BB | (clips_B[:, None] == clips_B)
    return same_BB & ~torch.eye(len(same_BB), dtype=torch.bool, device=same_BB.device)


def contrastive_loss(similarity_BB: Tensor, excluded_BB: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss: each clip's own caption among all, and the reverse.

    Args:
        similarity_BB: cosines of clips (rows) and captions (columns), divided by the temperature.
        excluded_BB: pairs that are left out of the sums; see `excluded_pairs`.
    """
    logits_BB = _wide(similarity_BB).masked_fill(excluded_BB, -torch.inf)
    own_B = torch.arange(len(logits_BB), device=logits_BB.device)
    return (F.cross_entropy(logits_BB, own_B) + F.cross_entropy(logits_BB.T, own_B)) / 2


def _wide(values: Tensor) -> Tensor:
    """Return float32 of anything narrower."""
    return values if values.dtype == torch.float64 else values.float()


def draw_hard_negatives(similarity_BB: Tensor, excluded_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a wrong column for each row, the likelier the more similar the two are.

    Args:
        similarity_BB: rows and columns to be paired, divided by the temperature.
        excluded_BB: pairs that are not negatives; the diagonal never is.

    Returns:
        Rows that have a negative, and its column for each of them; int64, of one length.
    """
    wrong_BB = ~excluded_BB & ~torch.eye(
        len(excluded_BB), dtype=torch.bool, device=excluded_BB.device
    )
    rows_N = wrong_BB.any(1).nonzero()[:, 0]
    logits_NB = similarity_BB.detach().float().masked_fill(~wrong_BB, -torch.inf)[rows_N]
    if not len(rows_N):
        return rows_N, rows_N
    return rows_N, torch.multinomial(logits_NB.softmax(1), 1)[:, 0]


@dataclass(frozen=True)
class Pairs:
    """Clips and captions by their rows in the batch, and whether each pair belongs together.

    Attributes:
        clips_N, captions_N: int64.
        matches_N: int64, 1 for a clip with its own caption.
    """

    clips_N: Tensor
    captions_N: Tensor
    matches_N: Tensor


def matching_pairs(similarity_BB: Tensor, excluded_BB: Tensor) -> Pairs:
    """Return every clip with its caption, with a hard wrong one, and the reverse.

    Args:
        similarity_BB: clips (rows) and captions (columns), divided by the temperature.
        excluded_BB: symmetric; see `excluded_pairs`.
    """
    own_B = torch.arange(len(similarity_BB), device=similarity_BB.device)
    clips_N, wrong_captions_N = draw_hard_negatives(similarity_BB, excluded_BB)
    captions_M, wrong_clips_M = draw_hard_negatives(similarity_BB.T, excluded_BB)
    count = len(clips_N) + len(captions_M)
    return Pairs(
        torch.cat([own_B, clips_N, wrong_clips_M]),
        torch.cat([own_B, wrong_captions_N, captions_M]),
        torch.cat([torch.ones_like(own_B), own_B.new_zeros(count)]),
    )


@dataclass(frozen=True)
class SpecialTokens:
    """Numbers of the tokens that are not words.

    Attributes:
        never: tokens that are not hidden: padding and marks.
        mask: token that hides a word.
        vocabulary: number of all tokens.
    """

    never: tuple[int, ...]
    mask: int
    vocabulary: int


def hide_words(ids_BL: Tensor, special: SpecialTokens, ratio: float) -> tuple[Tensor, Tensor]:
    """Hide a share of the words, as BERT's training does: 8 of 10 masked, 1 any word, 1 kept.

    Args:
        ids_BL: int64 tokens.
        special: tokens that are not words.
        ratio: share of the words.

    Returns:
        Tokens with hidden words, and the targets: the word where it is hidden, else `IGNORED`.
    """
    words_BL = ~torch.isin(ids_BL, torch.tensor(special.never, device=ids_BL.device))
    hidden_BL = words_BL & (torch.rand(ids_BL.shape, device=ids_BL.device) < ratio)
    fate_BL = torch.rand(ids_BL.shape, device=ids_BL.device)
    any_BL = torch.randint(special.vocabulary, ids_BL.shape, device=ids_BL.device)
    shown_BL = torch.where(hidden_BL & (fate_BL >= KEPT_SHARE), special.mask, ids_BL)
    randomly_BL = hidden_BL & (fate_BL >= KEPT_SHARE) & (fate_BL < KEPT_SHARE + RANDOM_SHARE)
    shown_BL = torch.where(randomly_BL, any_BL, shown_BL)
    return shown_BL, torch.where(hidden_BL, ids_BL, IGNORED)


def hidden_word_loss(logits_BLV: Tensor, targets_BL: Tensor) -> Tensor:
    """Return the mean cross-entropy of hidden words; 0 where none is hidden."""
    logits, targets = logits_BLV.float().flatten(0, 1), targets_BL.flatten()
    total = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    return total / (targets != IGNORED).sum().clamp(min=1)
