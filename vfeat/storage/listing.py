"""Listing of the objects of a source, streamed and never held at once."""

from __future__ import annotations

from collections.abc import Iterator

from vfeat.storage.listed import Listed, OnSkip, SourceListing
from vfeat.storage.local_listing import find_local, list_local, local_etag
from vfeat.storage.other_listing import find_other, list_other
from vfeat.storage.s3_listing import find_s3, list_s3
from vfeat.storage.uris import is_local, is_s3, local_path

__all__ = ["Listed", "find_object", "list_objects", "list_source", "local_etag"]


def list_source(src: str, on_skip: OnSkip | None = None) -> SourceListing:
    """List the objects of a folder (with all below it), an object, a glob, a bucket or a prefix.

    Objects are sorted within a folder, so the same objects come in the same order. A path that
    exists is taken literally even if its name looks like a glob. Dot-names below `src` and S3's
    folder placeholders are left out; symbolic links are followed, loops are not. A missing source
    raises at once, everything else while iterating.

    Args:
        src: path or URI.
        on_skip: called with (uri, reason, whether it is a folder) for a folder below `src` that
            cannot be read, and for a name that is no readable file: a link to nothing or to itself,
            a pipe. Without it such a folder raises, and such a name is left out.

    Raises:
        JobError: nothing has that name.
        StorageError: a folder, bucket or store cannot be read.
    """
    if is_local(src):
        return list_local(local_path(src), src, on_skip)
    return list_s3(src) if is_s3(src) else list_other(src, on_skip)


def list_objects(src: str) -> Iterator[Listed]:
    """List the objects of a source one by one (see `list_source`)."""
    pages = list_source(src).pages
    return (found for page in pages for found in page.objects())


def find_object(uri: str) -> Listed:
    """Find the one object of exactly that name: no character of it is a pattern.

    Raises:
        MissingObject: nothing has that name.
        FolderFound: a folder, prefix or bucket has that name.
        StorageError: a store that cannot be read, or something that is no file.
        EnvironmentMissing: no installed package reads such an address.
    """
    if is_local(uri):
        return find_local(uri)
    return find_s3(uri) if is_s3(uri) else find_other(uri)
