"""Uploads in parts that nobody will finish: an S3 store keeps, and charges for, their parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from vfeat.storage.failures import is_expected
from vfeat.storage.swept import SweepReport

_STALE = timedelta(hours=24)


def abort_stale_uploads(fs: Any, bucket: str, prefix: str) -> SweepReport:
    """End the uploads under a prefix that began a day ago.

    A store that does not list them, or does not let this key end them, keeps them.

    Args:
        fs: file system from `connect`.
        bucket, prefix: as in S3; the prefix ends with `/`, or is empty.
    """
    ended = 0
    oldest = datetime.now(UTC) - _STALE
    try:
        for upload in _uploads(fs, bucket, prefix):
            if upload["Initiated"] >= oldest:
                continue
            with suppress(OSError):  # as s3fs raises what a store answers: finished meanwhile
                fs.call_s3(
                    "abort_multipart_upload",
                    Bucket=bucket,
                    Key=upload["Key"],
                    UploadId=upload["UploadId"],
                )
                ended += 1
    except Exception as error:
        if not is_expected(error):
            raise
    return SweepReport(uploads=ended)


def _uploads(fs: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    asked = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = fs.call_s3("list_multipart_uploads", **asked)
        # Stores without prefixes here would list the whole bucket's.
        yield from (u for u in page.get("Uploads", []) if u["Key"].startswith(prefix))
        if not page.get("IsTruncated"):
            return
        markers = (page.get("NextKeyMarker", ""), page.get("NextUploadIdMarker", ""))
        if markers == (asked.get("KeyMarker"), asked.get("UploadIdMarker")):
            return  # a store that gives the same page for ever
        asked["KeyMarker"], asked["UploadIdMarker"] = markers
