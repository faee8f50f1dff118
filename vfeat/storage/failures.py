"""Classification of store failures: whether to retry, and the message for the user.

A failure is read from the HTTP answer behind it if there is one; the class of the exception alone
carries little (s3fs turns a refused condition into "invalid argument").
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import ssl
from typing import NamedTuple

from vfeat.addresses import public
from vfeat.errors import StorageError, VfeatError
from vfeat.storage.uris import is_local, is_s3, is_web, local_path, server_of, split_s3

# 409 is two conditional writes at once on AWS; 501 will not change by waiting
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 509})
_TRANSIENT_CODES = frozenset(
    {"RequestTimeout", "SlowDown", "Throttling", "InternalError", "OperationAborted"}
)
_TRANSIENT_ERRNO = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.ENETUNREACH}
)
# by name: botocore, aiohttp and fsspec are not imported for a local disk
_TRANSIENT_CLASSES = frozenset(
    {
        "ConnectionError",  # builtin and botocore's: refused, reset, time-out, no such host
        "HTTPClientError",  # botocore: anything below HTTP
        "ClientConnectionError",  # aiohttp
        "ClientPayloadError",  # aiohttp: the answer ended early
        "IncompleteReadError",
        "ResponseParserError",
        "TimeoutError",
        "FSTimeoutError",
    }
)
_CLIENTS = frozenset(
    {
        "aiohttp",
        "azure",
        "botocore",
        "fsspec",
        "gcsfs",
        "google",
        "huggingface_hub",
        "httpx",
        "s3fs",
    }
)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# The first that fits counts.
_UNREACHED: dict[type[OSError], str] = {
    socket.gaierror: "its name is not resolved; is it spelled right, and is there a network?",
    ssl.SSLError: "no trusted TLS connection; is its certificate valid, and is the port right?",
    ConnectionRefusedError: "connection refused; is the server running, and is the port right?",
    ConnectionError: "the connection was closed without an answer",
    TimeoutError: "no answer in time",
}
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class MissingObject(StorageError):
    """The object asked for does not exist; the store itself answered."""


class FolderFound(StorageError):
    """A folder, prefix or bucket stands where one file or object was asked for."""


class ObjectChanged(StorageError):
    """The object is no longer the one that was listed: its content has changed since."""


class Unreachable(StorageError):
    """The store itself did not answer; whether the object exists is unknown."""


class Answer(NamedTuple):
    """Answer of an S3 store: `status` as in HTTP, `code` as in its documents."""

    status: int
    code: str
    message: str


def answer_of(error: BaseException) -> Answer | None:
    """Return the HTTP answer behind an exception, None when no answer came."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            said = response.get("Error", {})
            status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return Answer(status, str(said.get("Code", "")), str(said.get("Message", "")))
        seen = seen.__cause__
    return None


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed a little later."""
    answer = answer_of(error)
    if answer is not None:
        return answer.status in _TRANSIENT_STATUS or answer.code in _TRANSIENT_CODES
    if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO:
        return True
    # SSL and DNS failures are botocore's ConnectionError, too.
    return any(c.__name__ in _TRANSIENT_CLASSES for c in type(error).__mro__)


def is_bucket_missing(error: BaseException) -> bool:
    """Return whether a store answered that there is no such bucket."""
    answer = answer_of(error)
    if answer is not None:
        return answer.code == "NoSuchBucket"
    return isinstance(error, FileNotFoundError) and "bucket" in str(error).lower()


def explain(error: BaseException, uri: str, needed_bytes: int | None = None) -> StorageError:
    """Turn a failure into one sentence for the person who must act.

    Args:
        error: exception of a store, disk or client library.
        uri: object that was being read or written.
        needed_bytes: size of the object being written, for the message of a full disk.
    """
    if isinstance(error, StorageError):
        return error
    full, uri = uri, public(uri)
    error = _web_cause(error, uri)
    names = {c.__name__ for c in type(error).__mro__}
    answer = answer_of(error)
    if answer is not None and answer.code not in {"NoSuchKey", "404"}:
        return StorageError(_answered(answer, uri))
    if "ClientResponseError" in names and (status := getattr(error, "status", 0)) not in {404, 410}:
        reason = f"{status} {getattr(error, 'message', '')}".strip()
        host = server_of(uri).partition("://")[2]
        return StorageError(f"{uri}: {host} answered {reason}")
    if isinstance(error, FileNotFoundError) or "ClientResponseError" in names:
        return MissingObject(f"{uri} does not exist")
    if {"NoCredentialsError", "PartialCredentialsError"} & names:
        return StorageError(
            f"no credentials for {uri}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and "
            "AWS_ENDPOINT_URL_S3 for a store other than AWS"
        )
    if is_s3(uri) and is_transient(error):
        return Unreachable(
            f"cannot reach {endpoint()} for {uri} ({type(error).__name__}): is the store "
            "running, and is AWS_ENDPOINT_URL_S3 right?"
        )
    if not is_local(uri) and (is_transient(error) or _unreached(error)):
        why = _unreached(error) or _line(error, full)
        host = server_of(uri).partition("://")[2]
        return Unreachable(f"{uri}: cannot reach {host}: {why}")
    if isinstance(error, OSError) and error.errno is not None and is_local(uri):
        return StorageError(_on_disk(error, uri, needed_bytes))
    return StorageError(f"{uri}: {_line(error, full)}")


def _web_cause(error: BaseException, uri: str) -> BaseException:
    """Return the cause of a web server's failure, which fsspec hides in FileNotFoundError."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause is not None:
        modules = {c.__module__.partition(".")[0] for c in type(cause).__mro__}
        if is_web(uri) or "aiohttp" in modules:
            return cause
    return error


def _unreached(error: BaseException) -> str | None:
    """Return in words why a server did not answer, if it is one of the usual causes."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, words in _UNREACHED.items():
            if isinstance(cause, kind):
                return words
        cause = cause.__cause__
    return None


def endpoint() -> str:
    """Return the S3 store that the environment names, as a person would write it."""
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return named or "AWS S3 (no AWS_ENDPOINT_URL_S3 is set)"


def _answered(answer: Answer, uri: str) -> str:
    status, code, message = answer
    at = f"{uri}: {endpoint()}"
    if code == "NoSuchBucket":
        return f"{at} has no bucket {split_s3(uri)[0]!r}: create it, or correct the name"
    if code == "SignatureDoesNotMatch":
        return f"{at} refuses the secret (SignatureDoesNotMatch): check AWS_SECRET_ACCESS_KEY"
    if code == "InvalidAccessKeyId":
        return f"{at} rejects the access key (InvalidAccessKeyId): check AWS_ACCESS_KEY_ID"
    if code in {"ExpiredToken", "InvalidToken", "RequestTimeTooSkewed"}:
        return f"{at} refuses the credentials ({code}): renew them and check the clock"
    if status in {401, 403}:
        # A HEAD has no body that would distinguish a wrong secret from a missing right.
        return (
            f"{at} denies access ({code or status}): the secret is wrong or this key may not do "
            "that here; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"
        )
    return f"{at} answered {status} {code}: {message or 'no reason given'}"


def _on_disk(error: OSError, uri: str, needed_bytes: int | None) -> str:
    reason = os.strerror(error.errno or 0)
    if error.errno in _NO_ROOM:
        folder = _existing(local_path(uri))
        need = "" if needed_bytes is None else f", {needed_bytes:,} bytes are needed"
        free = shutil.disk_usage(folder).free
        return f"{uri}: no room on the disk of {folder} ({reason}){need}, {free:,} are free"
    if error.errno in _NO_RIGHT:
        return f"{uri}: not allowed ({reason}): change its rights, or choose another place"
    return f"{uri}: {reason}"


def _existing(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _line(error: BaseException, uri: str) -> str:
    # whole, where an address with a space is more than one word
    text = " ".join(str(error).replace(uri, public(uri)).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_expected(error: BaseException) -> bool:
    """Return whether it is an error that stores and disks raise; any other is a bug."""
    if isinstance(error, VfeatError):
        return False
    modules = {c.__module__.partition(".")[0] for c in type(error).__mro__}
    return isinstance(error, OSError) or not _CLIENTS.isdisjoint(modules)
