"""Networks of an encoder, all behind the same call.

Shape legend: B clips (of one view each), C colours, T frames, S side in pixels, D width, K classes,
N tokens kept of a clip; F = B * T frames, M tokens of one frame.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import Tokens
from vfeat.models import create_model
from vfeat.models.class_names import read_class_names, read_sentences
from vfeat.models.pixels import Pixels
from vfeat.models.retrieval.sentences import load_retrieval
from vfeat.models.same_weights import check_weights
from vfeat.models.videomamba_config import has_text_side
from vfeat.models.vit import VIT
from vfeat.models.vit_model import load_vit
from vfeat.tables.schema import RowShape


class Pass(NamedTuple):
    """Result of a forward pass.

    Attributes:
        embedding_BD: one vector for each clip.
        scores_BK: probabilities, float32; K is 0 without a head.
        tokens_BND: the tokens that the recipe keeps, or None.
    """

    embedding_BD: Tensor
    scores_BK: Tensor
    tokens_BND: Tensor | None


class EncoderModel(Protocol):
    """A loaded network.

    Attributes:
        shape: widths of its rows.
        label_names: names of its K classes.
        weights: all tensors that a pass reads besides the pixels, if a pass can be recorded as a
            graph; None if it cannot.
    """

    shape: RowShape
    label_names: tuple[str, ...]
    weights: tuple[Tensor, ...] | None

    def __call__(self, pixels: Pixels) -> Pass:
        """Run clips on their device."""


def load_network(recipe: Recipe, device: torch.device) -> EncoderModel:
    """Load the recipe's network with its weights, in evaluation mode.

    Args:
        recipe: names model, weights and the outputs to keep.
        device: device of the network.

    Raises:
        NodeDiffers: this machine's weights are not those of the recipe.
    """
    check_weights(recipe)
    if recipe.model.name == VIT:
        return FrameWise(recipe, device)
    return (BesideWords if has_text_side(recipe.model.name) else WholeClip)(recipe, device)


class WholeClip:
    """VideoMamba: one sequence of tokens over all frames of a clip."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        spec = recipe.model
        config = {"num_frames": recipe.clip.num_frames, "img_size": recipe.frame.size}
        model = create_model(spec.name, weights=spec.weights, **{**config, **dict(spec.config)})
        self.model = model.eval().to(device)
        self.kept: Tokens = recipe.output.tokens
        # Without stored tokens, the final norm of all but the class token is skipped.
        self.run = model.forward_features if self.kept == "none" else model.forward_tokens
        self.weights: tuple[Tensor, ...] | None = (*model.parameters(), *model.buffers())
        # The token grid follows from the model's configuration, which the weights may bring.
        tubelet, patch = model.config.tubelet_size, model.config.patch_size
        self.shape = RowShape(
            model.config.embed_dim,
            recipe.clip.num_frames // tubelet,
            (recipe.frame.size // patch) ** 2,
        )
        numbers = tuple(str(index) for index in range(model.config.num_classes))
        self.label_names = read_class_names(recipe.labels.source) if recipe.labels else numbers

    def __call__(self, pixels: Pixels) -> Pass:
        features, tokens = self.run(pixels), None
        if self.kept != "none":
            features, tokens = features[:, 0], self._tokens(features[:, 1:])
        return Pass(features, self.model.head(features).float().softmax(-1), tokens)

    def _tokens(self, tokens_BND: Tensor) -> Tensor:
        if self.kept == "patch":
            return tokens_BND
        B, _, D = tokens_BND.shape
        return tokens_BND.float().view(B, self.shape.steps, -1, D).mean(2)


class BesideWords:
    """A dual encoder's video side: vectors beside those of sentences, which are the labels."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        pair = load_retrieval(recipe, device)
        self.model = pair.model
        config = self.model.config
        self.shape = RowShape(config.joint_dim, config.tubelets, config.grid**2)
        self.label_names = () if recipe.labels is None else read_sentences(recipe.labels)
        words_KP = pair.embed(self.label_names)
        self.words_KP = torch.from_numpy(words_KP).to(device)
        read = (*self.model.parameters(), *self.model.buffers(), self.words_KP)
        self.weights: tuple[Tensor, ...] | None = read

    def __call__(self, pixels: Pixels) -> Pass:
        embedding_BP = self.model.embed_video(pixels).embedding_BP
        near_BK = embedding_BP.float() @ self.words_KP.T / self.model.temp.float()
        return Pass(embedding_BP, near_BK.softmax(-1), None)


class FrameWise:
    """A vision transformer over single frames; a clip's vector is the mean of its frames'."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.model = load_vit(recipe.model.weights or "", recipe.frame.size).to(device)
        self.kept: Tokens = recipe.output.tokens
        # Frames do not depend on each other, so memory is bounded by this and not by the clip.
        self.frames_at_once = 256 if device.type == "cuda" else 16
        info = self.model.info
        self.has_class_token = info.has_class_token
        self.shape = RowShape(info.width, recipe.clip.num_frames, info.tokens(recipe.frame.size))
        self.label_names = self.model.label_names
        self.weights: tuple[Tensor, ...] | None = (
            None  # the library's code is free to wait for the device
        )

    def __call__(self, pixels: Pixels) -> Pass:
        B, _, T = pixels.shape[:3]
        frames_FSSC = pixels.frames_BTHWC.flatten(0, 1)
        parts = [
            self._frames(replace(pixels, frames_BTHWC=part[:, None]).video()[:, :, 0])
            for part in torch.split(frames_FSSC, self.frames_at_once)
        ]
        vectors_FD, scores_FK, tokens_FMD = (torch.cat(part) for part in zip(*parts, strict=True))
        vectors_BTD = vectors_FD.view(B, T, -1)
        scores_BK = scores_FK.view(B, T, scores_FK.shape[1]).mean(1)
        kept: Tensor | None = None
        if self.kept == "frame":
            kept = vectors_BTD
        elif self.kept == "patch":
            kept = tokens_FMD.reshape(B, -1, tokens_FMD.shape[-1])
        return Pass(vectors_BTD.mean(1), scores_BK, kept)

    def _frames(self, frames_FCSS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return vectors FD, probabilities FK and, if they are kept, all tokens FMD."""
        tokens_FMD, logits_FK = self.model(frames_FCSS)
        vectors_FD = tokens_FMD[:, 0] if self.has_class_token else tokens_FMD.float().mean(1)
        if logits_FK is None:
            logits_FK = vectors_FD.new_zeros(len(vectors_FD), 0)
        kept = tokens_FMD if self.kept == "patch" else tokens_FMD[:, :0]
        return vectors_FD.float(), logits_FK.float().softmax(-1), kept
