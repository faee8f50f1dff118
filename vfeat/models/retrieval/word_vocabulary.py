"""Vocabulary of whole words from the captions of a list, as a tokenizer.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vfeat.errors import EnvironmentMissing
from vfeat.models.retrieval.tokenizer import FIRST, HIDDEN, LAST, PADDING, UNKNOWN, plain

SPECIAL = (PADDING, UNKNOWN, FIRST, LAST, HIDDEN)


def caption_words(captions: Sequence[str], min_count: int) -> tuple[str, ...]:
    """Return the words of captions, sorted; they are prepared as `Tokenizer` prepares sentences.

    Args:
        captions: texts to learn from.
        min_count: captions that must have a word.
    """
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(set(plain(caption).split()))
    return tuple(sorted(word for word, count in counts.items() if count >= min_count))


def words_tokenizer(words: Sequence[str]) -> str:
    """Return the content of a tokenizer.json of whole words; any other word is [UNK].

    Raises:
        EnvironmentMissing: the package tokenizers is not installed.
    """
    try:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    except ImportError:
        raise EnvironmentMissing(
            "a vocabulary needs the package tokenizers: pip install 'vfeat[words]'"
        ) from None
    numbers = {word: number for number, word in enumerate((*SPECIAL, *words))}
    made = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.BertProcessing((LAST, numbers[LAST]), (FIRST, numbers[FIRST]))
    return str(made.to_str(pretty=True)) + "\n"
