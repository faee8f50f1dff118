"""Results: the nearest clips, or those that a condition holds for, as plain values for JSON."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.browse.corrections import Corrections
from vfeat.browse.label_file import Part
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

    def __init__(self, dataset: Dataset, corrections: Corrections | None = None) -> None:
        self._dataset, self._corrections = dataset, corrections
        self._lock = threading.Lock()

    def nearest(self, vector_D: Any, k: int, filters: Filters) -> dict[str, Any]:
        """Return the k nearest clips, exactly as `vfeat search` finds them."""
        condition = filters.condition()
        with self._lock:
            answer = self._dataset.answer(vector_D[None], k, condition)
        return {
            "hits": [self._fields(hit) for hit in answer.hits[0]],
            "how": answer.describe(),
            "notice": answer.notice,
        }

    def warm(self) -> None:
        """Read the vectors that stay in memory; searches wait for it."""
        with self._lock:
            for table in self._dataset.tables(["embedding"]):
                if len(table):
                    width = table.column("embedding").type.list_size
                    self._dataset.search(np.ones(width, np.float32), 1)
                    return

    def like(self, video_id: str, at_s: float, k: int, filters: Filters) -> dict[str, Any]:
        """Return the clips nearest to a stored one, itself among them."""
        clip = self._dataset.clip_at(video_id, at_s)
        found = self.nearest(clip.vector_D, k, filters)
        own = {"video": clip.video_id, "clip": clip.clip_index, "start_s": clip.start_s,
               "end_s": clip.end_s, "name": one_line(clip.uri.rpartition("/")[2])}  # fmt: skip
        return {**found, "of": own}

    def matching(self, filters: Filters, first: int, most: int) -> dict[str, Any]:
        """Return clips that the filters hold for, in the order of the files."""
        if filters.condition() is None:
            raise JobError("expected a label or a condition")
        hits, seen, has_more = list[dict[str, Any]](), 0, False
        for held in self._held(filters):
            skipped = max(0, first - seen)
            seen += len(held)
            left = most - len(hits)
            hits += [self._stored(row) for row in held.slice(skipped, left).to_pylist()]
            if len(held) - skipped > left:
                has_more = True
                break
        return {"hits": hits, "how": "In the order of the dataset.", "more": has_more}

    def unsure(self, filters: Filters, first: int, most: int) -> dict[str, Any]:
        """Return clips that the filters hold for and nobody has labelled, least sure first."""
        kept: pa.Table | None = None
        for held in self._held(filters):
            labels = held.column("labels").combine_chunks()
            has_one = pc.fill_null(pc.greater(pc.list_value_length(labels), 0), False)
            rows, best = held.filter(has_one), pc.list_element(labels.filter(has_one), 0)
            rows = self._unlabelled(rows.append_column("best", pc.struct_field(best, "score")))
            kept = rows if kept is None else pa.concat_tables([kept, rows])
            order = pc.sort_indices(kept, [("best", "ascending")])  # a stable sort
            kept = kept.take(order[: first + most + 1])
        found = [] if kept is None else kept.slice(first, most).to_pylist()
        has_more = kept is not None and len(kept) > first + most
        how = "The dataset's least sure clips first, without those that have your label."
        return {"hits": [self._stored(row) for row in found], "how": how, "more": has_more}

    def _held(self, filters: Filters) -> Iterator[pa.Table]:
        """Yield the rows of each file that the filters hold for."""
        text = filters.condition()
        condition = None if text is None else Condition(text)
        gone = gone_videos(self._dataset)
        for key in self._dataset.files():
            with reading(self._dataset.root, key):
                rows = read_table(self._dataset.root, key, list(COLUMNS))
            mask = pc.invert(pc.is_in(rows.column("video_id"), gone))
            if condition is not None:
                mask = pc.and_(mask, pa.chunked_array([condition.holds(rows)]))
            yield rows.filter(mask)

    def _unlabelled(self, rows: pa.Table) -> pa.Table:
        if self._corrections is None:
            return rows
        given = {part for part, line in self._corrections.present().lines.items() if line.label}
        uris = pa.array({part.uri for part in given}, pa.string())
        touched = pc.is_in(rows.column("uri"), uris)
        mask = np.ones(len(rows), bool)
        for place in np.flatnonzero(touched.to_numpy()):
            uri, start_s, end_s = (
                rows.column(n)[place].as_py() for n in ("uri", "start_s", "end_s")
            )
            mask[place] = not {Part(uri, start_s, end_s), Part(uri)} & given
        return rows.filter(pa.array(mask))

    def _fields(self, hit: Hit) -> dict[str, Any]:
        fields = hit_fields(hit)
        if self._corrections is None:
            return fields
        return {**fields, **self._corrections.of(Part(hit.uri, hit.start_s, hit.end_s))}

    def _stored(self, row: dict[str, Any]) -> dict[str, Any]:
        best = row["labels"][0] if row["labels"] else {"label": None, "score": None}
        hit = Hit(row["video_id"], row["uri"], row["clip_index"], row["start_s"], row["end_s"],
                  0.0, best["label"], best["score"])  # fmt: skip
        return {**self._fields(hit), "score": None}


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
