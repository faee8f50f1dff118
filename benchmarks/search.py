"""Searches of a million clips: exact and with an index, one after the other in one process.

    vfeat extract VIDEOS --out FEATURES --stride-seconds 0.01 --dtype bfloat16
    python -m benchmarks.search FEATURES [--rows 1000000] [--width 576] [--json FILE]

First the real clips of FEATURES, then a dataset that is made of them in a temporary folder: each
row lies between two real embeddings, mostly at the first one, turned into the wider space and moved
by a twentieth of its length. Queries are further such rows. Times are medians, in CPU seconds of
this process and by the clock, of whole calls: listing the files, the state of the videos, and
reading the columns of the hits are part of them. faiss' flat float16 index is the yardstick.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vfeat.search.clusters import faiss
from vfeat.search.cosine import directions
from vfeat.search.dataset import Dataset
from vfeat.search.dataset import open as open_dataset
from vfeat.search.index_build import bring_up_to_date
from vfeat.search.index_file import open_index
from vfeat.search.probing import Visible, nearest
from vfeat.tables import layout
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.schema import RowShape

FILE_ROWS = 20_000
VIDEO_ROWS = 500
SINGLE = 9  # queries, one after the other
TOGETHER = 200


def real_embeddings(features: str) -> np.ndarray:
    """Return all embeddings of a dataset, float32."""
    dataset = open_dataset(features)
    column = dataset.to_arrow(["embedding"]).column(0).combine_chunks()
    width = column.type.list_size
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width).astype(np.float32)


def made(real_ND: np.ndarray, count: int, width: int, draw: np.random.Generator) -> np.ndarray:
    """Return rows between two real embeddings, in `width` dimensions, float16."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0]
    turn = turn[: real_ND.shape[1]].astype(np.float32)
    first, second = draw.integers(0, len(real_ND), (2, count))
    share = draw.uniform(0.6, 1, (count, 1)).astype(np.float32)
    rows = (share * real_ND[first] + (1 - share) * real_ND[second]) @ turn
    noise = draw.standard_normal(rows.shape, np.float32) / np.float32(width**0.5)
    rows += noise * np.linalg.norm(rows, axis=1, keepdims=True) / 20
    return rows.astype(np.float16)


def write_dataset(features: str, out: Path, rows: int, width: int) -> None:
    """Write a dataset of made rows, with the recipe of the real one."""
    real, recipe = real_embeddings(features), open_dataset(features).recipe
    shape = RowShape(width, 1, 0)
    (out / layout.FEATURES).mkdir(parents=True)
    shutil.copy(Path(features) / layout.DATASET, out / layout.DATASET)
    for number in range(-(-rows // FILE_ROWS)):
        count = min(FILE_ROWS, rows - number * FILE_ROWS)
        vectors = made(real, count, width, np.random.default_rng(number + 1))
        clips = [
            ClipRow(
                f"{(number * FILE_ROWS + n) // VIDEO_ROWS:032x}", f"/made/{number}.mp4",
                n % VIDEO_ROWS, 2.0 * (n % VIDEO_ROWS), 2.0 * (n % VIDEO_ROWS) + 2, vectors[n],
            )
            for n in range(count)
        ]  # fmt: skip
        shard = layout.shard_name(layout.plan_name(1), number)
        table = features_table(clips, shape, recipe, shard)
        path = out / layout.FEATURES / f"{shard}.parquet"
        write_features(str(path), table, [], recipe, shape)


def timed(call: Callable[[int], object], times: int) -> dict[str, float]:
    """Return the medians of some calls; the first, which warms up, does not count."""
    call(0)
    cpu, wall = [], []
    for number in range(times):
        began_cpu_s, began_s = time.process_time(), time.perf_counter()
        call(number)
        cpu.append(time.process_time() - began_cpu_s)
        wall.append(time.perf_counter() - began_s)
    return {"cpu_s": statistics.median(cpu), "wall_s": statistics.median(wall)}


def exact(dataset: Dataset, queries: np.ndarray) -> dict[str, Any]:
    """Measure exact searches: one query at a time, and many at once."""
    one = timed(lambda n: dataset.answer(queries[n][None], exact=True), min(SINGLE, len(queries)))
    many = timed(lambda _: dataset.answer(queries[:TOGETHER], exact=True), 2)
    return {"single": one, f"each_of_{len(queries[:TOGETHER])}": {
        name: value / len(queries[:TOGETHER]) for name, value in many.items()
    }}  # fmt: skip


def found_share(dataset: Dataset, queries: np.ndarray) -> float:
    """Return the share of the exact ten nearest of queries that the index finds, by score."""
    right, limit = 0, dataset.search_many(queries, exact=True)
    for hits, best in zip(dataset.search_many(queries), limit, strict=True):
        right += min(sum(hit.score >= best[-1].score - 1e-6 for hit in hits), len(best))
    return right / sum(map(len, limit))


def yardstick(dataset: Dataset, queries: np.ndarray) -> dict[str, Any]:
    """Measure a flat float16 index of faiss, without the columns of the hits."""
    library = faiss()
    width = queries.shape[1]
    flat = library.IndexScalarQuantizer(
        width, library.ScalarQuantizer.QT_fp16, library.METRIC_INNER_PRODUCT
    )
    flat.train(np.zeros((1, width), np.float32))
    for table in dataset.tables(["embedding"]):
        column = table.column(0).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        flat.add(directions(column.reshape(-1, width)))
    one = timed(lambda n: flat.search(directions(queries[n][None]), 10), SINGLE)
    return {"single": one, "memory_mib": flat.ntotal * flat.code_size >> 20}


def report_number(uri: str) -> int:
    """Return the number of an index by its address."""
    return int(Path(uri).stem)


def measure(uri: str, queries: np.ndarray) -> dict[str, Any]:
    """Measure one dataset on all sides."""
    result: dict[str, Any] = {"files_read_anew": exact(open_dataset(uri), queries)}
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    report = bring_up_to_date(open_dataset(uri), rebuild=True)
    took = {"wall_s": time.perf_counter() - began_s, "cpu_s": time.process_time() - began_cpu_s}
    result["building"] = {**asdict(report), "uri": "", **took}
    dataset = open_dataset(uri)
    number = min(SINGLE * 3, len(queries))
    result["index"] = {
        "single": timed(lambda n: dataset.answer(queries[n][None]), number),
        "recall_at_10_of_new_queries": found_share(dataset, queries[:TOGETHER]),
    }
    index = open_index(dataset.root, layout.search_index_key(report_number(report.uri)))
    unit = directions(queries)
    result["index"]["without_columns_of_hits"] = timed(
        lambda n: nearest(index, unit[n], 10, index.about.probes, Visible()), number
    )
    kept = open_dataset(uri, keep_bytes=8 << 30)
    result["kept_in_memory"] = exact(kept, queries)
    assert kept._kept is not None
    result["kept_in_memory"]["memory_mib"] = kept._kept.bytes >> 20
    for side in ("files_read_anew", "kept_in_memory"):
        for clock in ("cpu_s", "wall_s"):
            share = result[side]["single"][clock] / result["index"]["single"][clock]
            result["index"][f"times_faster_than_{side}_{clock}"] = share
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    real = real_embeddings(options.features)
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "real": {"rows": len(real), "width": real.shape[1]},
        "made": {"rows": options.rows, "width": options.width},
    }
    with tempfile.TemporaryDirectory(prefix="vfeat-bench-") as folder:
        copy = Path(folder) / "real"
        shutil.copytree(options.features, copy)
        between = np.random.default_rng(-1 % 2**32).integers(0, len(real), TOGETHER)
        result["real"] |= measure(str(copy), real[between])
        out = Path(folder) / "made"
        write_dataset(options.features, out, options.rows, options.width)
        queries = made(real, TOGETHER, options.width, np.random.default_rng(0))
        result["made"] |= measure(str(out), queries.astype(np.float32))
        result["made"]["faiss_flat_float16"] = yardstick(
            open_dataset(str(out)), queries.astype(np.float32)
        )
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
