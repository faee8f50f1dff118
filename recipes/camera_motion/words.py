"""The training of `camera_words`: clips, their captions, words for the vectors of the model.

FOLDER/word-clips/          clips and their facts (`words_corpus.py`)
FOLDER/word-captions.csv    uri, caption, split
FOLDER/camera-words/        what `vfeat train retrieval` wrote
"""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np

from recipes.camera_motion.captions import PARAPHRASED, draw_statement, worded
from recipes.camera_motion.clip_facts import ClipFacts
from recipes.camera_motion.corpora import printed_progress
from recipes.camera_motion.synthetic.whole import whole
from recipes.camera_motion.vfeat_command import run_vfeat
from recipes.camera_motion.words_corpus import WordClip, write_clips

CLIPS, SEED = 6000, 20261130
CLIPS_FOLDER, LIST_FILE, OUT = "word-clips", "word-captions.csv", "camera-words"
CAPTIONS_PER_CLIP = {"train": 5, "val": 2, "test": 1}
SIZES = {
    "text_dim": 96, "text_depth": 2, "text_heads": 4, "text_hidden": 192, "text_positions": 24,
    "sentence_tokens": 24,
}  # fmt: skip
SETTINGS = {
    "--weights": "packaged", "--vocabulary": "captions", "--min-word-count": "5",
    "--epochs": "12", "--batch-size": "256", "--lr": "0.002", "--keep": "loss",
}  # fmt: skip


def train_words(work: Path, clips: int | None = None) -> Path:
    """Make clips and captions below `work`, and train words; the same call again goes on.

    Args:
        work: folder of all that is made.
        clips: number of clips, for a trial; default: the recipe's own.

    Returns:
        The folder of the words.

    Raises:
        SystemExit: with the exit code of `vfeat train retrieval`, where that is not 0.
    """
    made = write_clips(
        work / CLIPS_FOLDER, clips or CLIPS, SEED, os.cpu_count() or 1,
        printed_progress(CLIPS_FOLDER),
    )  # fmt: skip
    write_captions(work / LIST_FILE, made)
    sizes = [word for n, value in SIZES.items() for word in ("--model-option", f"{n}={value}")]
    settings = [word for pair in SETTINGS.items() for word in pair]
    run_vfeat(
        ["train", "retrieval", LIST_FILE, "--freeze-vision", *settings, *sizes, "--out", OUT], work
    )
    return work / OUT


def write_captions(path: Path, made: list[tuple[WordClip, ClipFacts]]) -> None:
    """Write the list; captions of test clips have phrases of their own where there are any."""
    with whole(path) as part, part.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["uri", "caption", "split"])
        for clip, facts in made:
            rng = np.random.default_rng((SEED, clip.index, 1))
            for _ in range(CAPTIONS_PER_CLIP[clip.split]):
                statement = draw_statement(rng, facts)
                text = worded(rng, statement, PARAPHRASED) if clip.split == "test" else None
                text = text or worded(rng, statement)
                table.writerow([f"{CLIPS_FOLDER}/{clip.name}", text, clip.split])


def copy_without_training(words: Path, box: Path) -> None:
    """Copy what an installed package needs, tensors as float16.

    Args:
        words: folder that `train_words` returned.
        box: folder of the package.
    """
    import torch
    from safetensors.torch import load_file, save

    box.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(words / name, box / name)
    tensors = load_file(words / "model.safetensors")
    half = {key: tensor.to(torch.float16).contiguous() for key, tensor in tensors.items()}
    (box / "model.safetensors").write_bytes(save(half))
