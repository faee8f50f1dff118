"""Facts about a URI that need no access to the object."""

from __future__ import annotations

import os
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from vfeat.addresses import SCHEME

_FILE = "file://"
_S3 = ("s3://", "s3a://")


def is_local(uri: str) -> bool:
    """Return whether it is a path of this machine, with or without `file://`."""
    return uri.startswith(_FILE) or SCHEME.match(uri) is None


def is_s3(uri: str) -> bool:
    """Return whether it is an object, prefix or bucket of an S3 store."""
    return uri.startswith(_S3)


def local_path(uri: str) -> str:
    """Return the absolute path of a local URI; symbolic links stay as they are."""
    if not uri.startswith(_FILE):
        return os.path.abspath(os.path.expanduser(uri))
    path = uri.removeprefix(_FILE)
    if "%" in path and not os.path.lexists(path):
        path = os.fsdecode(unquote_to_bytes(path))
    return os.path.abspath(path)


def local_uri(path: str) -> str:
    """Return the path itself, or a percent-encoded `file://` URI if the name is not UTF-8.

    Such names are legal on Linux, and no text column could hold them.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return _FILE + quote_from_bytes(os.fsencode(path))
    return path


def split_s3(uri: str) -> tuple[str, str]:
    """Split an S3 URI into `(bucket, key)`; the key may be empty."""
    _, _, path = uri.partition("://")
    bucket, _, key = path.partition("/")
    return bucket, key


def is_web(uri: str) -> bool:
    """Return whether it is an address of a web server, in which `?` begins the query."""
    return uri.startswith(("http://", "https://"))


def server_of(uri: str) -> str:
    """Return `scheme://host` of a remote URI, without user and password.

    Of a chain it is the last link's.
    """
    scheme, _, rest = uri.rpartition("::")[2].partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}"
