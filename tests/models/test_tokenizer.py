"""Sentences become the numbers that BERT was trained on."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from transformers import BertTokenizer

from vfeat.errors import JobError
from vfeat.models.retrieval.tokenizer import (
    Tokenizer,
    bert_pieces,
    plain,
    read_tokenizer,
    word_pieces,
)

SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
LENGTH = 32
SENTENCES = (
    "a dog runs on the beach",
    "A Dog RUNS, on the beach!",
    "someone's de-icing a café window; 2 men/women watch (slowly)...",
    "unaffable embeddings of 日本 and naïve coöperation",
    "x" * 300,
    "the quick brown fox " * 20,
    "🐕 <person> walks",
)


@pytest.fixture(scope="module")
def bert() -> Tokenizer:
    return read_tokenizer("random", LENGTH, 30522)


def test_the_packaged_words_are_the_published_file() -> None:
    folder = files("vfeat.models.retrieval") / "vocabulary"
    content = (folder / "bert-base-uncased.txt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256
    assert SHA256 in (folder / "README.md").read_text()
    assert len(content) == 231_508 and len(set(bert_pieces())) == 30_522


def test_known_numbers(bert: Tokenizer) -> None:
    ids, mask = bert(["a dog runs on the beach", "dog"])
    assert ids.tolist() == [
        [101, 1037, 3899, 3216, 2006, 1996, 3509, 102],
        [101, 3899, 102, 0, 0, 0, 0, 0],
    ]
    assert mask.tolist() == [[1] * 8, [1] * 3 + [0] * 5]
    assert ids.dtype == np.int64


def test_numbers_are_those_of_the_transformers_library(bert: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(bert_pieces()) + "\n", encoding="utf-8")
    other = BertTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=True)
    expected = other(
        [plain(sentence) for sentence in SENTENCES],
        padding="max_length", truncation=True, max_length=LENGTH, return_tensors="np",
    )  # fmt: skip
    found = bert(SENTENCES, padded=True)
    assert np.array_equal(found.ids_BW, expected["input_ids"])
    assert np.array_equal(found.mask_BW, expected["attention_mask"])


def test_captions_are_prepared_as_officially() -> None:
    assert plain("A Dog, runs!  on\tthe (beach)\n") == "a dog runs on the beach"
    assert plain("close-up of <person>'s hand/arm") == "close up of persons hand arm"


def test_words_beside_the_weights_come_first(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pan", "left", "##ward"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    ids, _ = read_tokenizer(str(tmp_path), LENGTH, 8)(["Pan leftward now"])
    assert ids.tolist() == [[2, 5, 6, 7, 1, 3]]
    with pytest.raises(JobError, match=r"has 8 pieces, and the text side .* vectors for 7"):
        read_tokenizer(str(tmp_path), LENGTH, 7)
    saved = word_pieces([*pieces, "zoom"])
    saved.save(str(tmp_path / "tokenizer.json"))
    ids, _ = read_tokenizer(str(tmp_path), 4, 9)(["zoom left pan left"])
    assert ids.tolist() == [[2, 8, 6, 3]]


def test_damage_is_named(tmp_path: Path, bert: Tokenizer) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 3}))
    with pytest.raises(JobError, match=r"tokenizer.json is no file of the tokenizers library"):
        read_tokenizer(str(tmp_path), LENGTH, 8)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("[UNK]\npan\n")
    with pytest.raises(JobError, match=r"no \[CLS\]"):
        read_tokenizer(str(tmp_path), LENGTH, 8)
    with pytest.raises(JobError, match="holds no word"):
        bert(["a dog", " ?! "])
