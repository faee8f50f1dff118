"""Features of others, in every form that `vfeat import` reads."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH = 6


def sequence(seed: int, steps: int, width: int = WIDTH) -> np.ndarray:
    """Random vectors, float32."""
    return np.random.default_rng(seed).normal(size=(steps, width)).astype(np.float32)


def write_all(folder: Path) -> dict[str, np.ndarray]:
    """Write a folder with each kind of file; return the sequences by the uri they must get."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, np.ndarray] = {}

    def add(name: str, seed: int, steps: int) -> np.ndarray:
        found[f"{folder}/{name}"] = sequence(seed, steps)
        return found[f"{folder}/{name}"]

    np.save(folder / "one.npy", add("one.npy", 1, 5))
    np.save(folder / "fortran.npy", np.asfortranarray(add("fortran.npy", 2, 4)))
    np.savez(folder / "single.npz", x=add("single.npz", 3, 3), label=np.arange(2))
    np.savez_compressed(folder / "many.npz", a=add("many.npz/a", 4, 6), b=add("many.npz/b", 5, 2))
    with h5py.File(folder / "deep.h5", "w") as file:
        file["v1/features"] = add("deep.h5/v1/features", 6, 7)
        file["v2/features"] = add("deep.h5/v2/features", 7, 1)
        file["fps"] = np.ones(3)
        file["elsewhere"] = h5py.ExternalLink("one.h5", "/x")
    write_rows(
        folder / "rows.parquet",
        {"p/1.mp4": add("rows.parquet/p/1.mp4", 8, 9), "q": add("rows.parquet/q", 9, 4)},
    )
    return found


def write_rows(path: Path, videos: dict[str, np.ndarray], *, fixed: bool = False) -> None:
    """Write a row a step, in small row groups that cut videos."""
    values = np.concatenate(list(videos.values()))
    kind = pa.list_(pa.float32(), values.shape[1]) if fixed else pa.list_(pa.float32())
    names = [name for name, steps in videos.items() for _ in steps]
    table = pa.table({"video": names, "vector": pa.array(values.tolist(), kind)})
    pq.write_table(table, path, row_group_size=5)
