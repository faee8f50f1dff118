"""Connections to remote stores, one for each process and set of credentials.

One fsspec instance serves all threads of a process (its calls run on fsspec's own
loop); a new process, forked or spawned, makes its own. No listing is ever cached.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from vfeat.errors import EnvironmentMissing, VfeatError
from vfeat.storage.failures import explain
from vfeat.storage.retry import PATIENCE_S, call_with_retries
from vfeat.storage.uris import is_s3

_CONNECT_S = 5
_READ_S = 60
_connections: dict[tuple[object, ...], Any] = {}
_lock = threading.Lock()


def connect(uri: str) -> tuple[Any, str]:
    """Return `(file system, path within it)` of a remote URI.

    Raises:
        EnvironmentMissing: no installed package reads addresses of this scheme.
        StorageError: the store cannot be reached, or the archive of a chain not be opened.
    """
    protocol = "s3" if is_s3(uri) else uri.partition("://")[0]
    # a changed environment means other credentials, hence another connection
    aws = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    # two hosts, users or buckets are two stores; a chain is one for each archive
    store = "s3" if protocol == "s3" else uri if "::" in uri else _store_of(uri)
    key = (os.getpid(), store, aws)
    if protocol == "s3":
        with _lock:
            if key not in _connections:
                _connections[key] = _open_s3()
            # not fsspec's url_to_fs: it gives "::" and other legal characters a meaning
            return _connections[key], uri.partition("://")[2]
    try:
        if key not in _connections:
            # Without the lock: a chain opens its archive here, and its server may be slow.
            _connections.setdefault(key, _open_other(uri))
        fs = _connections[key]
        return fs, fs._strip_protocol(uri) if "::" not in uri else _chained_path(uri)
    except VfeatError:
        raise
    except Exception as error:  # fsspec's file systems raise what they like
        raise explain(error, uri) from error


def _store_of(uri: str) -> str:
    """Return an address up to its path: scheme, user and host."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _open_s3() -> Any:
    import s3fs
    from aiobotocore.session import get_session

    session = get_session()
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_timestamp)
    fs = s3fs.S3FileSystem(
        session=session,
        asynchronous=False,
        skip_instance_cache=True,
        use_listings_cache=False,
        config_kwargs={
            "connect_timeout": _CONNECT_S,
            "read_timeout": _READ_S,
            # `call_with_retries` waits for outages; this only mends what passes at once
            "retries": {"mode": "standard", "total_max_attempts": 2},
            "max_pool_connections": 32,
            # the newer default sends trailing checksums, which many S3-alikes refuse
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    )
    fs.retries = 2
    return fs


def _timestamp(value: Any) -> Any:
    """Parse a time of an answer; the usual form at once, which botocore takes 60 us for.

    A listing has one for each key.
    """
    if isinstance(value, str) and "T" in value:
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    from botocore.utils import parse_timestamp

    return parse_timestamp(value)


def _open_other(uri: str) -> Any:
    import fsspec.core

    options: dict[str, Any] = {} if "::" in uri else {"use_listings_cache": False}
    for protocol in ("http", "https"):
        if f"{protocol}://" in uri:
            options[protocol] = {"client_kwargs": {"timeout": _web_timeout()}}
    try:
        return fsspec.core.url_to_fs(uri, **options)[0]
    except ImportError as error:
        module = str(getattr(error.__cause__, "name", None))  # mostly the package's name, too
        package = module if module in str(error) else "it"
        raise EnvironmentMissing(
            f"{uri}: a package is not installed ({error}); pip install {package} on every machine "
            "that reads"
        ) from error
    except ValueError as error:
        if "Protocol not known" not in str(error):
            raise
        raise EnvironmentMissing(
            f"{uri}: no installed package reads such an address ({error}); correct what stands "
            "before ://, or pip install the fsspec package for it"
        ) from error
    except OSError as error:
        if not uri.startswith(("hdfs://", "viewfs://")) or "lib" not in str(error):
            raise
        first = str(error).splitlines()[0]
        raise EnvironmentMissing(
            f"{uri}: HDFS is read through Hadoop's own library, which is not here ({first}); "
            "install Java and Hadoop, and set JAVA_HOME, HADOOP_HOME and CLASSPATH"
        ) from error


def _web_timeout() -> Any:
    import aiohttp

    # aiohttp's own limits are 30 s for a connection and 5 minutes for a whole answer
    return aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)


def _chained_path(uri: str) -> str:
    import fsspec.core

    return str(fsspec.core.url_to_fs(uri)[1])


def s3_pages(
    fs: Any,
    bucket: str,
    prefix: str,
    *,
    delimiter: str = "",
    start_after: str = "",
    page_keys: int = 1000,
    patience_s: float = PATIENCE_S,
) -> Iterator[dict[str, Any]]:
    """Yield the answers of ListObjectsV2 page by page, always requested afresh.

    Args:
        fs: file system from `connect`.
        bucket, prefix, delimiter, start_after: as in S3.
        page_keys: keys in a page; stores give at most 1000.
        patience_s: seconds of outage that a page's request waits through.
    """
    uri = f"s3://{bucket}/{prefix}"
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": page_keys}
    if start_after:
        asked["StartAfter"] = start_after
    while True:
        page: dict[str, Any] = call_with_retries(
            lambda: fs.call_s3("list_objects_v2", **asked), uri, patience_s
        )
        yield page
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


class RemoteFile(io.BufferedIOBase):
    """A remote object for reading and seeking; short outages are waited for."""

    _file: Any = None  # stays so when opening fails

    def __init__(
        self, uri: str, *, size_bytes: int | None, block_bytes: int, patience_s: float
    ) -> None:
        self._uri = uri
        self._patience_s = patience_s
        fs, path = connect(uri)
        # S3 is spared a HEAD when the listing has told the size
        known = {"size": size_bytes} if size_bytes is not None and is_s3(uri) else {}
        self._file = call_with_retries(
            lambda: fs.open(path, "rb", block_size=block_bytes, cache_type="readahead", **known),
            uri,
            patience_s,
        )

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes from here; all that is left when negative."""
        length = -1 if size is None else size
        data: bytes = call_with_retries(
            lambda: self._file.read(length), self._uri, self._patience_s
        )
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer`; return the number of bytes read."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; nothing is fetched before the next read."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the position in bytes from the start."""
        return int(self._file.tell())

    def size(self) -> int:
        """Return the size of the whole object in bytes."""
        return int(self._file.size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed and self._file is not None:
            self._file.close()
        super().close()
