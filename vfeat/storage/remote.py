"""Connections to remote stores, one for each process and set of credentials.

One fsspec instance serves all threads of a process (its calls run on fsspec's own
loop); a new process, forked or spawned, makes its own. No listing is ever cached.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from vfeat.addresses import redacted, user_of
from vfeat.errors import EnvironmentMissing, StorageError, VfeatError
from vfeat.storage.failures import explain
from vfeat.storage.retry import PATIENCE_S, call_with_retries
from vfeat.storage.uris import is_s3

_CONNECT_S = 5
_READ_S = 60
# variables that the clients of stores read
_SETTING = re.compile(
    r"(AWS|AZURE|GOOGLE|GCLOUD|STORAGE_EMULATOR|HADOOP|HF|OCI|FSSPEC)_|(HTTPS?|ALL|NO)_PROXY$",
    re.IGNORECASE,
)


class _PublicFormatter(logging.Formatter):
    """Format of warnings that clients print themselves: they may name an address whole."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


if logging.lastResort is not None:  # what is printed where nobody has set up logging
    logging.lastResort.setFormatter(_PublicFormatter())

_connections: dict[tuple[object, ...], Any] = {}
_lock = threading.Lock()


@contextmanager
def adopted(uri: str, file_system: Any) -> Iterator[None]:
    """Use a file system that the caller made for all addresses of a store, in this process.

    Args:
        uri: any address of the store; of S3 there is but one.
        file_system: what fsspec would make; of S3 one with `call_s3`, as s3fs has.
    """
    key = _key_of(uri)
    before = _connections.pop(key, None)
    _connections[key] = file_system
    try:
        yield
    finally:
        del _connections[key]
        if before is not None:
            _connections[key] = before


def connect(uri: str) -> tuple[Any, str]:
    """Return `(file system, path within it)` of a remote URI.

    Raises:
        EnvironmentMissing: no installed package reads addresses of this scheme.
        StorageError: the store cannot be reached, or the archive of a chain not be opened.
    """
    if is_s3(uri) and user_of(uri):
        raise StorageError(
            f"{uri}: keys in an S3 address are not used; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, and leave out what stands before the @"
        )
    key = _key_of(uri)
    if is_s3(uri):
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
        return fs, fs._strip_protocol(_own_link(uri))
    except VfeatError:
        raise
    except Exception as error:  # fsspec's file systems raise what they like
        raise explain(error, uri) from error


def _key_of(uri: str) -> tuple[object, ...]:
    # a changed environment means other credentials or proxies, hence another connection
    settings = tuple(sorted(item for item in os.environ.items() if _SETTING.match(item[0])))
    # two hosts, users or archives are two stores
    return os.getpid(), "s3" if is_s3(uri) else _store_of(uri), settings


def _store_of(uri: str) -> str:
    """Return an address up to its path: scheme, user and host; of a chain, scheme and archive."""
    first, chained, archive = uri.partition("::")
    scheme, _, rest = first.partition("://")
    if chained:
        return f"{scheme}{chained}{archive}"
    return f"{scheme}://{rest.partition('/')[0]}"


def _own_link(uri: str) -> str:
    """Return the link of a chain that holds the path: the first, but for those that only cache."""
    first, chained, rest = uri.partition("::")
    return _own_link(rest) if chained and "://" not in first else first


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

    # fsspec's own cache of instances would return one with the credentials of another environment
    options: dict[str, Any] = {
        link.partition("://")[0]: {"skip_instance_cache": True} for link in uri.split("::")
    }
    for protocol in {"http", "https"} & options.keys():
        options[protocol]["client_kwargs"] = {"timeout": _web_timeout()}
    if "::" not in uri:
        options["use_listings_cache"] = False
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
