"""Access to bytes on local disks, S3 and whatever else fsspec reaches; the only user of fsspec.

Nothing here depends on videos. Importing it costs nothing: fsspec and s3fs are loaded at the first
remote URI.
"""

from vfeat.storage.failures import MissingObject
from vfeat.storage.listing import Listed, find_object, list_objects, local_etag
from vfeat.storage.root import Root
from vfeat.storage.source import open_source
from vfeat.storage.uris import is_local

__all__ = [
    "Listed",
    "MissingObject",
    "Root",
    "find_object",
    "is_local",
    "list_objects",
    "local_etag",
    "open_source",
]
