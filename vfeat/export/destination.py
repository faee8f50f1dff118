"""The folder or prefix that an export is written to; it holds one export and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vfeat.errors import JobError, StorageError
from vfeat.storage.listing import list_source
from vfeat.storage.root import Root

ABOUT = "vfeat-export.json"
PROOF = "vfeat-export-proof.json"
_ALSO = ("rows", "videos", "part_rows")  # follow from the others; not compared


class Destination:
    """Where an export goes.

    Args:
        uri: a folder or an s3:// prefix.
    """

    def __init__(self, uri: str) -> None:
        self.root = Root(uri)

    def begun(self, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what an earlier attempt of the same export noted; None in an empty place.

        Args:
            about: fields that identify the export.

        Raises:
            JobError: something else is there.
            StorageError: the note is damaged.
        """
        if not self.root.exists(ABOUT):
            self._refuse_foreign()
            return None
        try:
            found = json.loads(self.root.read_bytes(ABOUT))
            differing = [name for name in about if found.get(name) != about[name]]
        except (ValueError, AttributeError, RecursionError) as error:
            raise StorageError(
                f"{self.root.url(ABOUT)} is not as vfeat wrote it ({error}); delete the folder, "
                "or use another --to"
            ) from None
        if any(name not in _ALSO for name in differing):
            raise JobError(
                f"{self.root.uri} holds another export; delete it, or use another --to:",
                *(
                    f"  {name}: there {found.get(name)!r}, now {about[name]!r}"
                    for name in differing
                    if name not in _ALSO
                ),
            )
        return dict(found)

    def begin(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Note what is exported here; return the note that stands, which may be an earlier one."""
        found = self.begun(about)
        if found is None:
            data = json.dumps(about, indent=1).encode()
            if not self.root.create_bytes(ABOUT, data):
                found = self.begun(about)
        return dict(found or about)

    def end(self, proof: Mapping[str, Any]) -> None:
        """Note that all of it is there."""
        self.root.replace_bytes(PROOF, json.dumps(proof, indent=1).encode())

    def _refuse_foreign(self) -> None:
        try:
            pages = list_source(self.root.address).pages
            first = next((page.uris[0] for page in pages if page.uris), None)
        except JobError:  # nothing has that name
            return
        if first is not None:
            raise JobError(
                f"{self.root.uri} is not empty and holds no export of vfeat (such as {first}); "
                "use an empty --to"
            )
