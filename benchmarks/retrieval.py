"""Words and video on this machine: sentences a second, a search with a sentence, re-ranking.

    python -m benchmarks.retrieval [--rows 1000000] [--pairs 32] [--json FILE]

VideoMamba-M with BERT-base and random weights: times do not depend on them. Medians of several
calls after one that is not counted, by the clock (`_ms`) and in CPU time of all threads
(`_cpu_ms`), which other processes disturb less. The sentences are of 6 to 24 words.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vfeat.models import create_retrieval
from vfeat.models.retrieval.sentences import WordsAndVideo
from vfeat.models.retrieval.tokenizer import bert_pieces
from vfeat.search.best import Best
from vfeat.search.cosine import cosines, inverse_lengths

MODEL = "videomamba_middle_mm"
REPEATS = 5
TOGETHER = 64


def timed(
    name: str, call: Callable[[], object], per: int = 1, repeats: int = REPEATS
) -> dict[str, float]:
    """Return the median times of a call, milliseconds; the first one is not counted.

    Args:
        per: what one call does so many times; times are of one.
    """
    clock, cpu = [], []
    for _ in range(repeats + 1):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        call()
        clock.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
    kinds = {"ms": clock, "cpu_ms": cpu}
    return {f"{name}_{k}": 1000 * statistics.median(t[1:]) / per for k, t in kinds.items()}


def sentences(count: int) -> list[str]:
    """Return sentences of whole English words, drawn from BERT's."""
    words = [piece for piece in bert_pieces() if piece.isalpha() and len(piece) > 2]
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(words, draw.integers(6, 25))) for _ in range(count)]


def measure(rows: int, pairs: int) -> dict[str, float]:
    """Measure one dual encoder on the CPU."""
    network = create_retrieval(MODEL, weights="random")
    pair = WordsAndVideo(network, "random", torch.device("cpu"))
    config, asked = network.config, sentences(TOGETHER)
    draw = np.random.default_rng(1)
    stored_ND = draw.standard_normal((rows, config.joint_dim), np.float32).astype(np.float16)
    inverse_N = inverse_lengths(stored_ND)

    def search() -> None:
        best = Best(1, 128)
        for first, scores_N1 in cosines(stored_ND, pair.embed(asked[:1]), inverse_N):
            best.add(scores_N1, first)

    video_BCTHW = torch.from_numpy(draw.standard_normal((1, 3, 8, 224, 224), np.float32))

    def encode() -> torch.Tensor:
        with torch.inference_mode():
            return network.embed_video(video_BCTHW).tokens_BND

    tokens_BND, encoded = encode(), pair.encode(asked[:1])

    def match() -> object:
        return pair.match(tokens_BND, encoded, [(0, 0)] * pairs)

    return {
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "parameters_million": sum(p.numel() for p in network.parameters()) / 1e6,
        "load": os.getloadavg()[0],
        "search_rows": rows,
        **timed("sentence_alone", lambda: pair.embed(asked[:1])),
        **timed("sentence_of_64", lambda: pair.embed(asked), len(asked)),
        **timed("search_with_sentence", search),
        **timed("video_side_per_candidate", encode, repeats=3),
        **timed("matching_per_candidate", match, pairs, 3),
    }


def main() -> None:
    """Print the figures, and write them where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.pairs)
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
