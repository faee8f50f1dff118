"""Requests to the S3 server, counted, with pages as short as a test likes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from vfeat.storage.remote import connect


class Requests:
    """What this process asks the store for, from now on.

    Attributes:
        asked: method and arguments of each request.
        page_keys: keys in a page of a listing; folders alone come in whole pages.
        refused: start of the `StartAfter` of listings that fail.
    """

    def __init__(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.page_keys = 1000
        self.refused: str | None = None
        fs, _ = connect(bucket)
        call = fs.call_s3

        def count(method: str, *args: Any, **options: Any) -> Any:
            self.asked.append((method, dict(options)))
            if method == "list_objects_v2" and not options["Delimiter"]:
                options["MaxKeys"] = min(options["MaxKeys"], self.page_keys)
                if self.refused and options.get("StartAfter", "").startswith(self.refused):
                    raise PermissionError("refused")
            return call(method, *args, **options)

        monkeypatch.setattr(fs, "call_s3", count)

    def counts(self) -> dict[str, int]:
        """How many requests of each method."""
        return dict(Counter(method for method, _ in self.asked))
