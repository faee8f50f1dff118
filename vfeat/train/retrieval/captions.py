"""Captions of a list of clips, as numbers of words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.train.encoder.data.clip_list import Listing, Sample, read_listing
from vfeat.train.labels import listed
from vfeat.train.task import SPLITS

CAPTION = "caption"


@dataclass(frozen=True)
class CaptionList:
    """A list of clips, and the caption of each row.

    Attributes:
        listing: the clips, by split.
        captions: caption by row.
    """

    listing: Listing
    captions: Mapping[int, str]

    def of_split(self, split: str) -> tuple[str, ...]:
        """Return the captions of a split, in the list's order."""
        return tuple(self.captions[sample.row] for sample in self.samples(split))

    def samples(self, split: str) -> tuple[Sample, ...]:
        """Return the clips of a split, in the list's order."""
        return next(found for name, found in self.listing.splits.items() if name == split)

    def digest(self) -> str:
        """Return a hash of all captions and their rows."""
        lines = [f"{row}\x1f{text}" for row, text in sorted(self.captions.items())]
        return blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def read_captions(source: str, seed: int) -> CaptionList:
    """Read a CSV or Parquet list with a column `caption`; see `read_listing`.

    Raises:
        JobError: not such a list, or rows without a caption, by their numbers.
    """
    listing = read_listing(source, seed, labelled=False)
    samples = sorted((s for n in SPLITS for s in listing.splits[n]), key=lambda s: s.row)
    if CAPTION not in samples[0].video.extra:
        found = ", ".join(("uri", *samples[0].video.extra))
        raise JobError(f"{source}: a list for words needs a column named caption; found: {found}")
    captions = {s.row: " ".join(str(s.video.extra[CAPTION] or "").split()) for s in samples}
    bare = [str(row + 1) for row, text in captions.items() if not text]
    if bare:
        raise JobError(f"{source}: {len(bare)} rows have no caption: rows {listed(bare)}")
    if len({captions[s.row] for s in listing.splits["train"]}) < 2:
        raise JobError(
            f"{source}: the training rows need at least two different captions: each is learnt "
            "against the others"
        )
    return CaptionList(listing, captions)


class CaptionTokens:
    """Tokens of every row's caption, and numbers that equal captions and clips share.

    Args:
        captions: the list.
        encode: turns texts into int64 tokens [N, L] and a mask of the same shape, True for tokens
            that are not padding.
    """

    def __init__(
        self, captions: CaptionList, encode: Callable[[Sequence[str]], tuple[Tensor, Tensor]]
    ) -> None:
        rows = sorted(captions.captions)
        texts = [captions.captions[row] for row in rows]
        self._place = {row: place for place, row in enumerate(rows)}
        self._ids_NL, self._mask_NL = encode(texts)
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        self._caption_N = torch.tensor([numbers[text] for text in texts])

    def of(self, rows: Sequence[int]) -> CaptionBatch:
        """Return the captions of some rows."""
        places = torch.tensor([self._place[row] for row in rows], dtype=torch.int64)
        mask_BL = self._mask_NL[places]
        length = max(1, int(mask_BL.sum(1).max())) if len(rows) else 1
        return CaptionBatch(
            self._ids_NL[places, :length], mask_BL[:, :length], self._caption_N[places]
        )


@dataclass(frozen=True)
class CaptionBatch:
    """Captions of a batch.

    Attributes:
        ids_BL: int64 tokens, cut to the longest caption of the batch.
        mask_BL: True for tokens that are not padding.
        caption_B: int64; equal numbers are equal captions.
    """

    ids_BL: Tensor
    mask_BL: Tensor
    caption_B: Tensor
