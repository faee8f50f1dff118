"""What a URI says by itself, before anything is opened."""

from __future__ import annotations

import os
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

# "s3://", "https://", and fsspec's chains such as "zip://a.mp4::s3://bucket/b.zip"
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*(?:::[a-z][a-z0-9+.\-]*)*://", re.IGNORECASE)
_FILE = "file://"
_S3 = ("s3://", "s3a://")


def is_local(uri: str) -> bool:
    """True for a path of this machine, with or without `file://`."""
    return uri.startswith(_FILE) or _SCHEME.match(uri) is None


def is_s3(uri: str) -> bool:
    """True for an object, prefix or bucket of an S3 store."""
    return uri.startswith(_S3)


def local_path(uri: str) -> str:
    """Absolute path of a local URI; symbolic links stay as they are."""
    if not uri.startswith(_FILE):
        return os.path.abspath(os.path.expanduser(uri))
    path = uri.removeprefix(_FILE)
    if "%" in path and not os.path.lexists(path):
        path = os.fsdecode(unquote_to_bytes(path))
    return os.path.abspath(path)


def local_uri(path: str) -> str:
    """The path itself; a name that is not UTF-8 becomes a percent-encoded `file://` URI.

    Such names are legal on Linux, and no text column could hold them.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return _FILE + quote_from_bytes(os.fsencode(path))
    return path


def split_s3(uri: str) -> tuple[str, str]:
    """`(bucket, key)`; the key may be empty."""
    _, _, path = uri.partition("://")
    bucket, _, key = path.partition("/")
    return bucket, key


def is_web(uri: str) -> bool:
    """True for an address of a web server, in which `?` begins the query."""
    return uri.startswith(("http://", "https://"))


def server_of(uri: str) -> str:
    """`scheme://host` of a remote URI without its user and password; of a chain its last link."""
    scheme, _, rest = uri.rpartition("::")[2].partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}"
