"""Shards in stores without conditional creates: a late attempt with errors replaces no good rows.

Two attempts at a shard may both find its key free and both write it, and the last one stands. With
the same rows in both, that is no harm. An attempt with errors therefore announces itself before it
looks whether the key is free, and one without looks for such announcements after it has written:
whoever could replace its file has announced it by then. It waits for the end of these writers and
puts its own file in place again where one of theirs stands.
"""

from __future__ import annotations

import posixpath

from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout

WAIT_S = 120.0  # for the end of another writer, which may be dead
POLL_S = 0.5


def create_late(root: Root, key: str, path: str, *, has_errors: bool) -> bool:
    """Publish a shard's file if its key is free; False when another file stands."""
    shard = _shard_of(key)
    if has_errors:
        announcement = layout.announcement_key(shard)
        root.replace_bytes(announcement, b"")
        try:
            return root.create_file(key, path)
        finally:
            root.delete(announcement)
    writer = here().token()
    if not root.create_file(key, path, writer):
        return False
    was_announced = _wait_for_others(root, shard)
    found = root.writer(key)
    if found != writer and (found or was_announced):
        replace_file(root, key, path)
    return True


def replace_file(root: Root, key: str, path: str) -> None:
    """Put a file in place of a shard's; a marker shows that the index stands for the old one."""
    marker = layout.marker_key(_shard_of(key))
    root.replace_bytes(marker, b"")
    root.replace_file(key, path)
    root.replace_bytes(marker, b"")  # a snapshot in between may have read the old file


def _wait_for_others(root: Root, shard: str) -> bool:
    """Wait until no attempt with errors is announced; return whether there was one."""
    until_s = here().now_s() + WAIT_S
    was_announced = False
    while names := layout.announcements_of(shard, root.list(layout.INDEX)):
        was_announced = True
        if here().now_s() > until_s:
            root.delete_many(f"{layout.INDEX}/{name}" for name in names)
            break
        here().sleep(POLL_S)
    return was_announced


def _shard_of(key: str) -> str:
    return posixpath.splitext(posixpath.basename(key))[0]
