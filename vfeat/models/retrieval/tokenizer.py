"""Sentences as numbers of word pieces: BERT's own, or those beside the weights; without torch.

A sentence is prepared as the official code prepares captions: lower case, without punctuation, with
a space for each hyphen and slash. It is cut to the model's length, [CLS] and [SEP] included.

    tokenizer.json     of the tokenizers library, beside the weights
    vocab.txt          WordPiece pieces, one a line, beside the weights
    neither            BERT-base's 30,522 uncased pieces, in this package
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.models.weights import read_beside

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILE = "vocab.txt"
FIRST, LAST, UNKNOWN, PADDING, HIDDEN = "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"
_DROPPED = re.compile(r"[,.'!?\"()*#:;~]")
_SPACED = re.compile(r"[-/\s]+")


class Tokens(NamedTuple):
    """Sentences as numbers.

    Attributes:
        ids_BW: numbers of pieces, padded to the longest sentence or to a fixed length.
        mask_BW: 1 for a piece, 0 for padding.
    """

    ids_BW: npt.NDArray[np.int64]
    mask_BW: npt.NDArray[np.int64]


def plain(sentence: str) -> str:
    """Return a sentence as the official code prepares captions."""
    bare = _DROPPED.sub("", sentence.lower()).replace("<person>", "person")
    return _SPACED.sub(" ", bare).strip()


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of a model's length.

    Attributes:
        library: tokenizer of the tokenizers library, which adds [CLS] and [SEP].
        length: longest sentence, pieces.
    """

    library: tokenizers.Tokenizer
    length: int

    def __call__(self, sentences: Sequence[str], *, padded: bool = False) -> Tokens:
        """Turn sentences into numbers.

        Args:
            padded: pad to `length` instead of the longest sentence; the embedding is the same.

        Raises:
            JobError: a sentence holds no word.
        """
        prepared = [plain(sentence) for sentence in sentences]
        for sentence, words in zip(sentences, prepared, strict=True):
            if not words:
                raise JobError(f"the sentence {sentence!r} holds no word")
        encoded = self.library.encode_batch(prepared)
        longest = self.length if padded else max((len(one.ids) for one in encoded), default=0)
        ids_BW = np.full((len(encoded), longest), self.number(PADDING), np.int64)
        mask_BW = np.zeros_like(ids_BW)
        for row, one in enumerate(encoded):
            ids_BW[row, : len(one.ids)] = one.ids
            mask_BW[row, : len(one.ids)] = 1
        return Tokens(ids_BW, mask_BW)

    def unknown(self, sentence: str) -> tuple[str, ...]:
        """Return the words of a sentence that have no piece; they are all the same to a model."""
        return tuple(word for word in plain(sentence).split() if not self.has(word))

    def has(self, word: str) -> bool:
        """Return whether a word is made of known pieces."""
        ids = self.library.encode(word, add_special_tokens=False).ids
        return self.number(UNKNOWN) not in ids

    @property
    def size(self) -> int:
        """Number of pieces."""
        return int(self.library.get_vocab_size())

    def number(self, piece: str) -> int:
        """Return a piece's number.

        Raises:
            JobError: there is no such piece.
        """
        found = self.library.token_to_id(piece)
        if found is None:
            raise JobError(f"the tokenizer has no piece {piece}; it is not one of BERT's kind")
        return int(found)


def read_tokenizer(weights: str, length: int, vocabulary: int) -> Tokenizer:
    """Read the tokenizer beside the weights, else make that of BERT-base.

    Args:
        weights: location of the weights; see `vfeat.models.weights`.
        length: longest sentence, pieces.
        vocabulary: number of pieces that the text side has vectors for.

    Raises:
        JobError: a damaged file, or more pieces than the text side has vectors for.
        EnvironmentMissing: the package tokenizers is not installed.
        StorageError: a file beside the weights cannot be read.
    """
    if (content := read_beside(weights, TOKENIZER_FILE)) is not None:
        where, found = f"{weights}/{TOKENIZER_FILE}", _parse(f"{weights}/{TOKENIZER_FILE}", content)
    elif (content := read_beside(weights, VOCABULARY_FILE)) is not None:
        where = f"{weights}/{VOCABULARY_FILE}"
        found = word_pieces(_lines(where, content))
    else:
        where, found = "BERT-base's vocabulary", word_pieces(bert_pieces())
    found.enable_truncation(length)
    found.no_padding()
    tokenizer = Tokenizer(found, length)
    for piece in (FIRST, LAST, PADDING):
        tokenizer.number(piece)
    if tokenizer.size > vocabulary:
        raise JobError(
            f"{where} has {tokenizer.size:,} pieces, and the text side of {weights} has vectors "
            f"for {vocabulary:,}; lay the vocabulary it was trained with beside the weights, as "
            f"{VOCABULARY_FILE} or {TOKENIZER_FILE} in their folder"
        )
    return tokenizer


@cache
def bert_pieces() -> tuple[str, ...]:
    """Return BERT-base's uncased pieces, in order."""
    name = "vocabulary/bert-base-uncased.txt"
    text = files("vfeat.models.retrieval").joinpath(name).read_text(encoding="utf-8")
    return tuple(text.removesuffix("\n").split("\n"))


def word_pieces(pieces: Sequence[str]) -> tokenizers.Tokenizer:
    """Make an uncased WordPiece tokenizer with BERT's [CLS] and [SEP].

    Args:
        pieces: the vocabulary, in order; continuations begin with ##.

    Raises:
        JobError: [UNK], [CLS] or [SEP] is missing.
        EnvironmentMissing: the package tokenizers is not installed.
    """
    library = _library()
    numbers = {piece: number for number, piece in enumerate(pieces)}
    for piece in (UNKNOWN, FIRST, LAST):
        if piece not in numbers:
            raise JobError(f"a vocabulary of {len(pieces)} pieces has no {piece} among them")
    found: tokenizers.Tokenizer = library.Tokenizer(
        library.models.WordPiece(numbers, unk_token=UNKNOWN)
    )
    found.normalizer = library.normalizers.BertNormalizer(lowercase=True)
    found.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    found.post_processor = library.processors.BertProcessing(
        (LAST, numbers[LAST]), (FIRST, numbers[FIRST])
    )
    return found


def _parse(where: str, content: bytes) -> tokenizers.Tokenizer:
    library = _library()
    try:
        found: tokenizers.Tokenizer = library.Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing narrower
        raise JobError(f"{where} is no file of the tokenizers library: {error}") from None
    return found


def _lines(where: str, content: bytes) -> list[str]:
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise JobError(f"{where} is not text in UTF-8: {error}") from None
    pieces = [line.removesuffix("\r") for line in lines]
    return pieces[:-1] if pieces[-1] == "" else pieces


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.processors
    except ImportError:
        raise EnvironmentMissing(
            "sentences need the package tokenizers: pip install 'vfeat[words]'"
        ) from None
    return tokenizers
