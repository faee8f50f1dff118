"""Vocabulary of whole words, from the captions of a list: a tokenizer.json of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

PAD, UNKNOWN, FIRST, LAST, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_vocabulary(captions: Sequence[str], min_count: int) -> str:
    """Return the content of a tokenizer.json that knows the words of the captions.

    Words are lower-cased and split at spaces and punctuation, as BERT's are; a word that is in
    fewer captions is unknown.

    Args:
        captions: texts to learn from.
        min_count: captions that must have a word.
    """
    from tokenizers import normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for caption in captions:
        pieces = splitter.pre_tokenize_str(normalizer.normalize_str(caption))
        counts.update({word for word, _ in pieces})
    words = sorted(word for word, count in counts.items() if count >= min_count)
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    return tokenizer_json(vocabulary)


def tokenizer_json(vocabulary: dict[str, int]) -> str:
    """Return the content of a tokenizer.json of whole words, with the special ones among them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, vocabulary[name]) for name in (FIRST, LAST)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {LAST}", special_tokens=ends
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return json.dumps(json.loads(tokenizer.to_str()), indent=1, ensure_ascii=False) + "\n"
