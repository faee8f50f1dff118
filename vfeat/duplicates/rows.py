"""What was found as rows of the published table."""

from __future__ import annotations

from collections.abc import Iterator

from vfeat.duplicates.find import Duplicates
from vfeat.tables.duplicates import DuplicateRow


def rows_of(found: Duplicates) -> Iterator[DuplicateRow]:
    """Yield a row for each segment, those with most evidence first."""
    clips, groups = found.clips, found.groups
    for segment, group in zip(found.segments, groups.of_segment, strict=True):
        a, b = segment.a, segment.b
        whole = groups.of_video.get(a)
        yield DuplicateRow(
            clips.uris[a], clips.uris[b], clips.ids[a], clips.ids[b],
            segment.a_start_s, segment.a_end_s, segment.b_start_s, segment.b_end_s,
            segment.speed, segment.score, segment.evidence_s, group,
            whole if whole is not None and whole == groups.of_video.get(b) else None,
        )  # fmt: skip
