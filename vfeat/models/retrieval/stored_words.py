"""Words for stored vectors: what `vfeat train retrieval --freeze-vision` wrote.

Shape suffixes: n sentences, P width of the clips' vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import torch

from vfeat.errors import JobError
from vfeat.models.checkpoint import load_checkpoint
from vfeat.models.packaged import SCHEME
from vfeat.models.retrieval.packaged_words import CAMERA_WORDS
from vfeat.models.retrieval.text_tower import TextTower, TextTowerConfig
from vfeat.models.retrieval.tokenizer import Tokenizer, plain, read_tokenizer

AT_ONCE = 64  # sentences
# Words that ask for nothing by themselves.
_PLAIN = """a an and another are as at by for from has have here i in into is it its me my of on
or out over please show shows some that the their there these this those to where which while with
camera clip clips film footage picture scene scenes shot shots video videos find"""
PLAIN_WORDS = frozenset(_PLAIN.split())


class StoredWords:
    """Words that find stored vectors, with their tokenizer, in evaluation mode.

    Args:
        uri: folder of the words.
        device: where they are embedded.
    """

    def __init__(self, uri: str, device: torch.device) -> None:
        self.uri, self.device = uri, device
        self.tower = load_text_tower(uri).to(device)
        config = self.tower.config
        self.tokenizer: Tokenizer = read_tokenizer(uri, config.sentence_tokens, config.vocabulary)

    @torch.inference_mode()
    def embed(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed sentences as unit vectors [n, P], float32.

        Raises:
            JobError: a sentence holds no word, or none that was learnt.
        """
        for sentence in sentences:
            self._check(sentence)
        found = [np.zeros((0, self.tower.config.joint_dim), np.float32)]
        for first in range(0, len(sentences), AT_ONCE):
            tokens = self.tokenizer(sentences[first : first + AT_ONCE])
            ids_nW, mask_nW = (torch.from_numpy(part).to(self.device) for part in tokens)
            found.append(self.tower.embed_text(ids_nW, mask_nW).float().cpu().numpy())
        return np.concatenate(found)

    def unknown(self, sentence: str) -> tuple[str, ...]:
        """Return the words of a sentence that were not learnt, which have no effect."""
        return self.tokenizer.unknown(sentence)

    def _check(self, sentence: str) -> None:
        words = plain(sentence).split()
        if not words or any(w not in PLAIN_WORDS and self.tokenizer.has(w) for w in words):
            return  # a sentence without a word is refused by the tokenizer
        if self.uri != f"{SCHEME}{CAMERA_WORDS}":
            raise JobError(f"the sentence {sentence!r} has no word that {self.uri} learnt")
        raise JobError(
            f"the sentence {sentence!r} has no word about the camera's motion, and the text side "
            "of this dataset's model was trained with such words only: pan, tilt, zoom, left, "
            "slowly, cut, fade, shaky, still, ... For other words extract with "
            "--model videomamba_middle_mm"
        )


def load_text_tower(uri: str) -> TextTower:
    """Load a folder that `vfeat train retrieval --freeze-vision` wrote, in evaluation mode.

    Raises:
        JobError: it holds something else.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    checkpoint = load_checkpoint(uri)
    known = {field.name for field in fields(TextTowerConfig)}
    if checkpoint.config is None or not checkpoint.config.get("finds"):
        raise JobError(
            f"{uri} holds no words for stored vectors: its config.json has no `finds`. Expected a "
            "folder that `vfeat train retrieval --freeze-vision` wrote"
        )
    config = {name: value for name, value in checkpoint.config.items() if name in known}
    tower = TextTower(TextTowerConfig(**config))
    own = tower.state_dict()
    found = {key: tensor.to(torch.float32) for key, tensor in checkpoint.state.items()}
    wrong = [
        key
        for key in sorted(own.keys() | found.keys())
        if key not in own or key not in found or own[key].shape != found[key].shape
    ]
    if wrong:
        raise JobError(
            f"Weights {uri}: {len(wrong)} tensors do not fit the sizes in config.json, such as "
            f"{wrong[0]}"
        )
    tower.load_state_dict(found)
    return tower.eval()
