"""Results: the nearest clips, or those that a condition holds for, as plain values for JSON."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.browse.parameters import Filters
from vfeat.errors import JobError
from vfeat.plain_text import one_line
from vfeat.search.condition import COLUMNS, Condition
from vfeat.search.dataset import Dataset
from vfeat.search.hit import Hit
from vfeat.search.stored import gone_videos
from vfeat.tables.parquet import read_table, reading


class SearchView:
    """Searches of one dataset, one at a time: each uses all cores."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._lock = threading.Lock()

    def nearest(self, vector_D: Any, k: int, filters: Filters) -> dict[str, Any]:
        """Return the k nearest clips, exactly as `vfeat search` finds them."""
        condition = filters.condition()
        with self._lock:
            answer = self._dataset.answer(vector_D[None], k, condition)
        return {
            "hits": [hit_fields(hit) for hit in answer.hits[0]],
            "how": answer.describe(),
            "notice": answer.notice,
        }

    def like(self, video_id: str, at_s: float, k: int, filters: Filters) -> dict[str, Any]:
        """Return the clips nearest to a stored one, itself among them."""
        clip = self._dataset.clip_at(video_id, at_s)
        found = self.nearest(clip.vector_D, k, filters)
        own = {"video": clip.video_id, "clip": clip.clip_index, "start_s": clip.start_s,
               "end_s": clip.end_s, "name": one_line(clip.uri.rpartition("/")[2])}  # fmt: skip
        return {**found, "of": own}

    def matching(self, filters: Filters, first: int, most: int) -> dict[str, Any]:
        """Return clips that the filters hold for, in the order of the files."""
        text = filters.condition()
        if text is None:
            raise JobError("expected a label or a condition")
        condition, hits = Condition(text), list[dict[str, Any]]()
        gone, seen, has_more = gone_videos(self._dataset), 0, False
        for key in self._dataset.files():
            with reading(self._dataset.root, key):
                rows = read_table(self._dataset.root, key, list(COLUMNS))
            here = pc.invert(pc.is_in(rows.column("video_id"), gone))
            held = rows.filter(pc.and_(here, pa.chunked_array([condition.holds(rows)])))
            skipped = max(0, first - seen)
            seen += len(held)
            left = most - len(hits)
            hits += [_stored(row) for row in held.slice(skipped, left).to_pylist()]
            if len(held) - skipped > left:
                has_more = True
                break
        return {"hits": hits, "how": "In the order of the dataset.", "more": has_more}


def hit_fields(hit: Hit) -> dict[str, Any]:
    """Return a hit as the page has it."""
    fields = asdict(hit)
    label = fields.pop("label")
    return {
        **fields,
        "video": fields.pop("video_id"), "clip": fields.pop("clip_index"),
        "uri": one_line(hit.uri), "name": one_line(hit.uri.rpartition("/")[2]),
        "label": label, "shown": None if label is None else one_line(label),
    }  # fmt: skip


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    best = row["labels"][0] if row["labels"] else {"label": None, "score": None}
    return {
        **hit_fields(
            Hit(row["video_id"], row["uri"], row["clip_index"], row["start_s"], row["end_s"],
                0.0, best["label"], best["score"])
        ),
        "score": None,
    }  # fmt: skip
