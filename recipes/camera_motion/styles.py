"""The training of `camera_style`: held-out clips, their features, made-up videos, a head."""

from __future__ import annotations

import csv
from pathlib import Path

from recipes.camera_motion.corpora import make_corpus
from recipes.camera_motion.style_corpus import LABELS_FILE, Bank, write_style_corpus
from recipes.camera_motion.vfeat_command import run_vfeat

BANK_CORPUS = "clips-20261128"
"""Corpus of the last training; the encoder was not trained on its held-out clips."""
HELD_OUT_FILE = "held-out.csv"
BANK, SEQUENCES, HEAD = "style-bank", "style-sequences", "camera-style"
VIDEOS, SEED = 960, 1


def train_styles(work: Path, encoder: str | None = None, clips: int | None = None) -> None:
    """Make the bank of embeddings and the sequences below `work`, and train the head on them.

    Args:
        encoder: folder of the encoder; default: the one in the package.
        clips: number of clips in the corpus, for a trial; default: the recipe's own.

    Raises:
        SystemExit: with the exit code of a `vfeat` command, where that is not 0.
    """
    held_out = write_held_out(make_corpus(work, BANK_CORPUS, clips))
    model = ["--model", "videomamba_motion"]
    if encoder is not None:
        model = ["--model", "videomamba", "--weights", str(Path(encoder).resolve())]
    run_vfeat(["extract", str(held_out.relative_to(work)), *model, "--out", BANK], work)
    if not (work / SEQUENCES / LABELS_FILE).exists():  # the last file that is written
        write_style_corpus(Bank(str(work / BANK)), str(work / SEQUENCES), VIDEOS, SEED)
    labels = ["--labels", f"{SEQUENCES}/{LABELS_FILE}", "--task", "style=classification"]
    settings = ["--epochs", "8", "--patience", "5", "--out", HEAD]
    run_vfeat(["train", "head", SEQUENCES, *labels, *settings], work)


def write_held_out(clip_list: str) -> Path:
    """Write the validation and test rows of a clip list beside it; return the new list's path."""
    with open(clip_list, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] != "train"]
    path = Path(clip_list).with_name(HELD_OUT_FILE)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["uri", "label", "split"])
        table.writeheader()
        table.writerows(rows)
    return path
