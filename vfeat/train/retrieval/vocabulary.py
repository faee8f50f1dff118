"""The vocabulary of a training of words: BERT's, that of the captions, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.models.retrieval.tokenizer import (
    FIRST,
    HIDDEN,
    LAST,
    PADDING,
    TOKENIZER_FILE,
    Tokenizer,
    bert_pieces,
    read_tokenizer,
    word_pieces,
)
from vfeat.models.retrieval.word_vocabulary import SPECIAL, caption_words, words_tokenizer
from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.train.retrieval.losses import SpecialTokens

BERT, CAPTIONS = "bert", "captions"


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers.

    Attributes:
        content: content of tokenizer.json.
        size: number of words, special ones included.
    """

    content: str
    size: int

    @property
    def digest(self) -> str:
        """Hash of the content."""
        return sha256(self.content.encode()).hexdigest()

    def tokenizer(self, length: int) -> Tokenizer:
        """Return the tokenizer, cutting captions to a length in words."""
        with TemporaryFolder("vocabulary") as folder:
            (Path(folder) / TOKENIZER_FILE).write_text(self.content, encoding="utf-8")
            return read_tokenizer(folder, length, self.size)


def make_vocabulary(choice: str, captions: Sequence[str], min_count: int) -> Vocabulary:
    """Make or read the vocabulary of a job.

    Args:
        choice: `bert`, `captions` or the location of a tokenizer.json.
        captions: those of the training clips.
        min_count: captions that must have a word, for `captions`.

    Raises:
        JobError: no such file, or no words.
        EnvironmentMissing: the package tokenizers is not installed.
    """
    if choice == BERT:
        pieces = bert_pieces()
        return Vocabulary(str(word_pieces(pieces).to_str(pretty=True)) + "\n", len(pieces))
    if choice == CAPTIONS:
        words = caption_words(captions, min_count)
        if not words:
            raise JobError(
                f"no word is in {min_count} training captions: give a smaller --min-word-count"
            )
        return Vocabulary(words_tokenizer(words), len(words) + len(SPECIAL))
    folder, _, name = choice.rpartition("/")
    root = Root(folder or ".")
    if not choice.endswith(".json") or not root.exists(name):
        raise JobError(
            f"vocabulary {choice!r}: expected bert, captions, or the path of a tokenizer.json"
        )
    content = root.read_bytes(name).decode()
    with TemporaryFolder("vocabulary") as temporary:
        (Path(temporary) / TOKENIZER_FILE).write_text(content, encoding="utf-8")
        size = read_tokenizer(temporary, 1 << 20, 1 << 31).size
    return Vocabulary(content, size)


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """Return the numbers of the tokens that are not words."""
    never = tuple(tokenizer.number(name) for name in (PADDING, FIRST, LAST))
    return SpecialTokens(never, tokenizer.number(HIDDEN), tokenizer.size)


def encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return tokens, int64 [N, W], and True where they are not padding."""
    found = tokenizer(texts)
    return torch.from_numpy(found.ids_BW), torch.from_numpy(found.mask_BW).bool()
