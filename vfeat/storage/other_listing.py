"""Objects of the stores that fsspec reaches beside S3: web servers, archives, other clouds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

from vfeat.errors import StorageError, VfeatError
from vfeat.storage.etags import etag_of
from vfeat.storage.failures import FolderFound, MissingObject, Unreachable, explain
from vfeat.storage.globs import has_magic, is_hidden, literal_parts, matches, may_hold
from vfeat.storage.listed import Listed, OnSkip, Page, SourceListing, one_object
from vfeat.storage.remote import connect
from vfeat.storage.retry import call_with_retries
from vfeat.storage.uris import is_web

_FIRST_ANSWER_S = 15.0  # a wrong address should be reported soon
_WEB_ANSWER_S = 8.0  # a server that accepts the connection may still not answer
_PAGE_OBJECTS = 1000
_PAGE_S = 0.25  # a slow store's pages have fewer objects


def find_other(uri: str) -> Listed:
    """Find one object; see `find_object`."""
    fs, path = connect(uri)
    try:
        info = call_with_retries(lambda: _info(fs, path), uri, 0.0)
        found = _listed(fs, info)._replace(uri=uri)
    except VfeatError:
        raise
    except Exception as error:  # fsspec's file systems raise what they like
        raise explain(error, uri) from error
    if info["type"] == "directory":
        raise FolderFound(f"{uri} is a folder, not a file")
    return found


def list_other(src: str, on_skip: OnSkip | None) -> SourceListing:
    """List a folder, object or glob; see `list_source`."""
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
        return _below(fs, chain, "/".join(parts[:plain]), tuple(parts[plain:]), on_skip)
    if info["type"] != "directory":
        return one_object(_listed(fs, info, chain))
    return _below(fs, chain, path, (), on_skip)


def _below(
    fs: Any, chain: str, folder: str, pattern: tuple[str, ...], on_skip: OnSkip | None
) -> SourceListing:
    base = str(fs.unstrip_protocol(folder)).rstrip("/") + "/"
    infos = _infos(fs, folder, (), pattern, None, on_skip)
    pages = _pages(_listed(fs, info, chain) for info in infos)
    return SourceListing(pages, base, pattern, chain)


def _pages(objects: Iterator[Listed]) -> Iterator[Page]:
    page, since_s = Page([], [], []), time.monotonic()
    for found in objects:
        page.add(found)
        if len(page.uris) >= _PAGE_OBJECTS or time.monotonic() - since_s > _PAGE_S:
            yield page
            page, since_s = Page([], [], []), time.monotonic()
    yield page


def _infos(
    fs: Any, folder: str, parts: tuple[str, ...], pattern: tuple[str, ...],
    address: str | None, on_skip: OnSkip | None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield fsspec's facts of each object; `address` is that of a folder below the source."""
    uri = fs.unstrip_protocol(folder)
    try:
        infos = call_with_retries(lambda: fs.ls(folder, detail=True), uri)
    except Unreachable:
        raise
    except StorageError as error:
        if address is None or on_skip is None:
            raise
        on_skip(address, str(error).removeprefix(f"{address}: "), True)
        return
    for info in sorted(infos, key=lambda info: str(info["name"])):
        name = str(info["name"]).rstrip("/").rpartition("/")[2]
        here = (*parts, name)
        if info["type"] == "directory":
            if not is_hidden(name) and may_hold(pattern, here):
                below = fs.unstrip_protocol(info["name"])
                yield from _infos(fs, info["name"], here, pattern, below, on_skip)
        elif matches(pattern, here):
            yield info


def _info(fs: Any, path: str) -> dict[str, Any]:
    import fsspec.asyn

    if not fs.async_impl:
        return cast(dict[str, Any], fs.info(path))
    answer = fsspec.asyn.sync(fs.loop, fs._info, path, timeout=_WEB_ANSWER_S)
    return cast(dict[str, Any], answer)


def _listed(fs: Any, info: dict[str, Any], chain: str = "") -> Listed:
    size_bytes = int(info.get("size") or 0)
    etag = etag_of(info, size_bytes)
    return Listed(fs.unstrip_protocol(info["name"]) + chain, size_bytes, etag)
