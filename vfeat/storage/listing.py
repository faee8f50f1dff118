"""Listing of the objects of a source, streamed and never held at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from vfeat.errors import JobError, StorageError, VfeatError
from vfeat.storage.failures import FolderFound, MissingObject, explain
from vfeat.storage.globs import (
    has_magic,
    is_hidden,
    literal_parts,
    literal_prefix,
    matches,
    may_hold,
)
from vfeat.storage.remote import connect, s3_pages
from vfeat.storage.retry import call_with_retries
from vfeat.storage.uris import is_local, is_s3, is_web, local_path, local_uri, split_s3

# A wrong address should be reported soon; an outage in the middle may last longer.
_FIRST_ANSWER_S = 15.0
_WEB_ANSWER_S = 8.0  # a server that accepts the connection may still not answer


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as its listing describes it.

    Attributes:
        uri: absolute local path, or the full remote URI.
        size_bytes: size of the object.
        etag: changes when the content does; size and mtime for a local file.
        mtime_s: last change, seconds since 1970; None if the store does not give it.
    """

    uri: str
    size_bytes: int
    etag: str
    mtime_s: float | None


def list_objects(src: str) -> Iterator[Listed]:
    """List the objects of a folder (with all below it), an object, a glob, a bucket or a prefix.

    Objects are sorted within a folder, so the same objects come in the same order. A path that
    exists is taken literally even if its name looks like a glob. Dot-names below `src` and S3's
    folder placeholders are left out; symbolic links are followed, loops are not. A missing source
    raises at once, everything else while iterating.

    Raises:
        JobError: nothing has that name.
        StorageError: a folder, bucket or store cannot be read.
    """
    if is_local(src):
        return _list_local(local_path(src), src)
    return _list_s3(src) if is_s3(src) else _list_other(src)


def find_object(uri: str) -> Listed:
    """Find the one object of exactly that name: no character of it is a pattern.

    Raises:
        MissingObject: nothing has that name.
        FolderFound: a folder, prefix or bucket has that name.
        StorageError: a store that cannot be read, or something that is no file.
        EnvironmentMissing: no installed package reads such an address.
    """
    if is_local(uri):
        return _find_local(uri)
    return _find_s3(uri) if is_s3(uri) else _find_other(uri)


def _find_local(uri: str) -> Listed:
    path = local_path(uri)
    if "\0" in path:
        raise StorageError(f"{uri!r}: no file's name contains the character NUL")
    try:
        status = os.stat(path)
    except OSError as error:
        raise explain(error, uri) from error
    if stat.S_ISDIR(status.st_mode):
        raise FolderFound(f"{uri} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{uri} is a pipe, socket or device, not a file")
    return _listed_local(path, status)


def _find_s3(uri: str) -> Listed:
    bucket, key = split_s3(uri)
    fs, _ = connect(uri)
    if not bucket or not key:
        raise FolderFound(f"{uri} is a bucket, not an object")
    # of all keys with a prefix, the one equal to it comes first
    first = _first_s3(fs, bucket, key)
    if first is not None and first["Key"] == key and not key.endswith("/"):
        return _listed_s3(bucket, first)
    if _first_s3(fs, bucket, key.rstrip("/") + "/") is not None:
        raise FolderFound(f"{uri} is a prefix, not an object")
    raise MissingObject(f"{uri} does not exist")


def _find_other(uri: str) -> Listed:
    fs, path = connect(uri)
    try:
        info = call_with_retries(lambda: _info(fs, path), uri, 0.0)
        found = replace(_listed_other(fs, info), uri=uri)
    except VfeatError:
        raise
    except Exception as error:  # fsspec's file systems raise what they like
        raise explain(error, uri) from error
    if info["type"] == "directory":
        raise FolderFound(f"{uri} is a folder, not a file")
    return found


def local_etag(uri: str) -> str | None:
    """Return the etag that a listing would give a local file now; None if it cannot be read."""
    try:
        return _etag(os.stat(local_path(uri)))
    except OSError:
        return None


def _list_local(path: str, src: str) -> Iterator[Listed]:
    if os.path.isdir(path):
        return _walk(path, path, ())
    if os.path.lexists(path):
        try:
            return iter([_listed_local(path, os.stat(path))])
        except OSError as error:
            raise explain(error, src) from error
    if not has_magic(path):
        raise JobError(f"{src}: there is no such file or folder")
    parts = path.split(os.sep)
    plain = literal_parts(parts)
    base = os.sep.join(parts[:plain]) or os.sep
    if not os.path.isdir(base):
        raise JobError(f"{src}: there is no folder {base}")
    return _walk(base, base, tuple(parts[plain:]))


def _walk(folder: str, base: str, pattern: tuple[str, ...]) -> Iterator[Listed]:
    """Yield files below `folder` whose path from `base` matches; all when there is no pattern."""
    yield from _walk_below(folder, (), pattern, frozenset({_identity(os.stat(folder))}))


def _walk_below(
    folder: str, parts: tuple[str, ...], pattern: tuple[str, ...], above: frozenset[tuple[int, int]]
) -> Iterator[Listed]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        raise explain(error, folder) from error
    for name in names:
        path, here = os.path.join(folder, name), (*parts, name)
        if is_hidden(name) and not any(map(is_hidden, pattern)):
            continue
        try:
            status = os.stat(path)
        except OSError:
            continue  # a dangling link, or deleted since
        if stat.S_ISREG(status.st_mode) and matches(pattern, here):
            yield _listed_local(path, status)
        elif stat.S_ISDIR(status.st_mode) and may_hold(pattern, here):
            identity = _identity(status)
            if identity not in above:  # else a link to a folder that holds it
                yield from _walk_below(path, here, pattern, above | {identity})


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _listed_local(path: str, status: os.stat_result) -> Listed:
    return Listed(local_uri(path), status.st_size, _etag(status), status.st_mtime)


def _etag(status: os.stat_result) -> str:
    """Build the etag from size and mtime: a file that was only touched counts as changed."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _list_s3(src: str) -> Iterator[Listed]:
    bucket, key = split_s3(src)
    fs, _ = connect(src)
    if not bucket:
        raise JobError(f"{src}: name a bucket, as in s3://bucket/prefix")
    if key and not key.endswith("/"):
        # of all keys with a prefix, the one equal to it comes first
        first = _first_s3(fs, bucket, key)
        if first is not None and first["Key"] == key:
            return iter([_listed_s3(bucket, first)])
    folder = key if key == "" or key.endswith("/") else key + "/"
    if _first_s3(fs, bucket, folder) is not None or not key:
        return _s3_below(fs, bucket, folder, len(folder), ())
    if not has_magic(key):
        raise JobError(f"{src}: there is no object and no prefix of that name in {bucket!r}")
    parts = key.rstrip("/").split("/")
    plain = literal_parts(parts)
    skip = sum(len(part) + 1 for part in parts[:plain])
    return _s3_below(fs, bucket, literal_prefix(key), skip, tuple(parts[plain:]))


def _first_s3(fs: Any, bucket: str, prefix: str) -> dict[str, Any] | None:
    pages = s3_pages(fs, bucket, prefix, page_keys=1, patience_s=_FIRST_ANSWER_S)
    found = next(pages).get("Contents", [])
    return found[0] if found else None


def _s3_below(
    fs: Any, bucket: str, prefix: str, skip: int, pattern: tuple[str, ...]
) -> Iterator[Listed]:
    """Yield objects of a prefix whose keys, from character `skip` on, match `pattern`."""
    for page in s3_pages(fs, bucket, prefix):
        for entry in page.get("Contents", []):
            key = entry["Key"]
            if not key.endswith("/") and matches(pattern, key[skip:].split("/")):
                yield _listed_s3(bucket, entry)


def _listed_s3(bucket: str, entry: dict[str, Any]) -> Listed:
    uri = f"s3://{bucket}/{entry['Key']}"
    changed = entry.get("LastModified")
    etag = str(entry.get("ETag", "")).strip('"')
    return Listed(uri, int(entry["Size"]), etag, changed.timestamp() if changed else None)


def _list_other(src: str) -> Iterator[Listed]:
    fs, path = connect(src)
    chain = src[src.find("::") :] if "::" in src else ""
    try:
        info = call_with_retries(lambda: _info(fs, path), src, _FIRST_ANSWER_S)
    except Exception as error:  # fsspec's file systems raise what they like
        told = explain(error, src)
        # in a web address the query is no pattern: a wrong one must not list the whole site
        pattern = path.partition("?")[0] if is_web(src) else path
        if not isinstance(told, MissingObject) or not has_magic(pattern):
            raise told from error
        parts = path.split("/")
        plain = literal_parts(parts)
        return _other_below(fs, chain, "/".join(parts[:plain]), (), tuple(parts[plain:]))
    if info["type"] != "directory":
        return iter([_listed_other(fs, info, chain)])
    return _other_below(fs, chain, path, (), ())


def _info(fs: Any, path: str) -> dict[str, Any]:
    import fsspec.asyn

    if not fs.async_impl:
        return cast(dict[str, Any], fs.info(path))
    answer = fsspec.asyn.sync(fs.loop, fs._info, path, timeout=_WEB_ANSWER_S)
    return cast(dict[str, Any], answer)


def _other_below(
    fs: Any, chain: str, folder: str, parts: tuple[str, ...], pattern: tuple[str, ...]
) -> Iterator[Listed]:
    infos = call_with_retries(lambda: fs.ls(folder, detail=True), fs.unstrip_protocol(folder))
    for info in sorted(infos, key=lambda info: str(info["name"])):
        name = str(info["name"]).rstrip("/").rpartition("/")[2]
        here = (*parts, name)
        if info["type"] == "directory":
            if not is_hidden(name) and may_hold(pattern, here):
                yield from _other_below(fs, chain, info["name"], here, pattern)
        elif matches(pattern, here):
            yield _listed_other(fs, info, chain)


def _listed_other(fs: Any, info: dict[str, Any], chain: str = "") -> Listed:
    size_bytes = int(info.get("size") or 0)
    changed: Any = info.get("mtime") or info.get("LastModified") or info.get("created")
    mtime_s = changed.timestamp() if hasattr(changed, "timestamp") else changed
    etag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or f"{size_bytes}-{mtime_s}"
    known_s = float(mtime_s) if isinstance(mtime_s, (int, float)) else None
    uri = fs.unstrip_protocol(info["name"]) + chain
    return Listed(uri, size_bytes, str(etag).strip('"'), known_s)
