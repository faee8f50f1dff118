"""Objects of an S3 store: one by its key, or all below a prefix, in pages asked for in parallel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from vfeat.errors import JobError
from vfeat.storage.failures import FolderFound, MissingObject
from vfeat.storage.globs import has_magic, literal_parts, literal_prefix, matches
from vfeat.storage.listed import Listed, Page, SourceListing, one_object
from vfeat.storage.remote import connect, s3_pages
from vfeat.storage.retry import call_with_retries
from vfeat.storage.uris import split_s3

_FIRST_ANSWER_S = 15.0  # a wrong address should be reported soon
_LISTED_AT_ONCE = 8
_AHEAD_PAGES = 48  # of each range that is listed; a page of 1000 keys takes 250 kB
# A long prefix is cut where its folders begin. This many cuts cost as many half-empty pages.
_RANGES = 128
_RANGE_PAGES = 4  # that a range should have
_ENOUGH_CUTS = 16
_CUT_REQUESTS = 24
_CUT_LEVELS = 4

_Item = Page | BaseException | None  # None ends a range


def find_s3(uri: str) -> Listed:
    """Find one object with one HEAD; see `find_object`."""
    bucket, key = split_s3(uri)
    fs, _ = connect(uri)
    if not bucket or not key:
        raise FolderFound(f"{uri} is a bucket, not an object")
    if not key.endswith("/"):
        try:
            head = call_with_retries(
                lambda: fs.call_s3("head_object", Bucket=bucket, Key=key), uri, _FIRST_ANSWER_S
            )
        except MissingObject:
            pass
        else:
            etag = str(head.get("ETag", "")).strip('"')
            return Listed(f"s3://{bucket}/{key}", int(head["ContentLength"]), etag)
    if _first(fs, bucket, key.rstrip("/") + "/") is not None:
        raise FolderFound(f"{uri} is a prefix, not an object")
    raise MissingObject(f"{uri} does not exist")


def list_s3(src: str) -> SourceListing:
    """List a bucket, prefix, object or glob; see `list_source`."""
    bucket, key = split_s3(src)
    fs, _ = connect(src)
    if not bucket:
        raise JobError(f"{src}: name a bucket, as in s3://bucket/prefix")
    if key and not key.endswith("/"):
        # of all keys with a prefix, the one equal to it comes first
        first = _first(fs, bucket, key)
        if first is not None and first["Key"] == key:
            return one_object(_listed(bucket, first))
    folder = key if key == "" or key.endswith("/") else key + "/"
    below = _Below(fs, bucket, folder, len(folder), ())
    if below.is_there or not key:
        return SourceListing(below.pages(), f"s3://{bucket}/{folder}", ())
    if not has_magic(key):
        raise JobError(f"{src}: there is no object and no prefix of that name in {bucket!r}")
    parts = key.rstrip("/").split("/")
    plain = literal_parts(parts)
    skip = sum(len(part) + 1 for part in parts[:plain])
    pattern = tuple(parts[plain:])
    below = _Below(fs, bucket, literal_prefix(key), skip, pattern)
    return SourceListing(below.pages(), f"s3://{bucket}/{key[:skip]}", pattern)


def _first(fs: Any, bucket: str, prefix: str) -> dict[str, Any] | None:
    pages = s3_pages(fs, bucket, prefix, page_keys=1, patience_s=_FIRST_ANSWER_S)
    found = next(pages).get("Contents", [])
    return found[0] if found else None


def _listed(bucket: str, entry: dict[str, Any]) -> Listed:
    etag = str(entry.get("ETag", "")).strip('"')
    return Listed(f"s3://{bucket}/{entry['Key']}", int(entry["Size"]), etag)


class _Below:
    """The objects below a prefix whose keys, from character `skip` on, match `pattern`.

    The first page is asked for at once, alone. If there are more, the keys after it are cut into
    ranges where folders begin, and some ranges are listed at once; the order stays that of the
    keys.

    Attributes:
        is_there: whether the prefix has any key.
    """

    def __init__(
        self, fs: Any, bucket: str, prefix: str, skip: int, pattern: tuple[str, ...]
    ) -> None:
        self._fs = fs
        self._bucket = bucket
        self._prefix = prefix
        self._skip = skip
        self._pattern = pattern
        first = next(s3_pages(fs, bucket, prefix, patience_s=_FIRST_ANSWER_S))
        self.is_there = bool(first.get("Contents"))
        self._first = self._page(first, None)
        self._last = first["Contents"][-1]["Key"] if first.get("IsTruncated") else None

    def pages(self) -> Iterator[Page]:
        yield self._first
        if (last := self._last) is None:
            return
        cuts = _chosen(self._cuts(), last)
        bounds = [last, *cuts, None]
        yield from _in_order([self._range(*ends) for ends in pairwise(bounds)])

    def _range(self, after: str, until: str | None) -> Iterator[Page]:
        """Yield the keys after one and before another."""
        for page in s3_pages(self._fs, self._bucket, self._prefix, start_after=after):
            yield self._page(page, until)
            contents = page.get("Contents")
            if until is not None and contents and contents[-1]["Key"] >= until:
                return

    def _page(self, answer: dict[str, Any], until: str | None) -> Page:
        start = f"s3://{self._bucket}/"
        page = Page([], [], [])
        for entry in answer.get("Contents", []):
            key = entry["Key"]
            if until is not None and key >= until:
                break
            if not key.endswith("/") and matches(self._pattern, key[self._skip :].split("/")):
                page.uris.append(start + key)
                page.sizes.append(int(entry["Size"]))
                page.etags.append(entry.get("ETag", "").strip('"'))
        return page

    def _cuts(self) -> list[str]:
        """Return prefixes of folders, of as many levels as it takes to have enough of them."""
        cuts: set[str] = set()
        level = [self._prefix]
        asked = 0
        with ThreadPoolExecutor(_LISTED_AT_ONCE) as pool:
            for _ in range(_CUT_LEVELS):
                level = level[: _CUT_REQUESTS - asked]
                asked += len(level)
                level = [below for found in pool.map(self._folders, level) for below in found]
                cuts.update(level)
                if len(cuts) >= _ENOUGH_CUTS or not level:
                    break
        return sorted(cuts)

    def _folders(self, prefix: str) -> list[str]:
        page = next(s3_pages(self._fs, self._bucket, prefix, delimiter="/"))
        return [found["Prefix"] for found in page.get("CommonPrefixes", [])]


def _chosen(cuts: Sequence[str], last: str) -> list[str]:
    """Choose cuts after a key, evenly: fewer where the first page reached far."""
    left = [cut for cut in cuts if cut > last]
    # a folder that has begun may be endless; those before it are done
    done = sum(cut < last and not last.startswith(cut) for cut in cuts)
    most = min(_RANGES, len(cuts) // done // _RANGE_PAGES) if done else _RANGES
    step = max(1, -(-len(left) // most)) if most else len(left) + 1
    return left[step - 1 :: step]


def _in_order(ranges: Sequence[Iterator[Page]]) -> Iterator[Page]:
    """Yield the pages of all ranges in order, while the next ones are read ahead in threads."""
    stop = threading.Event()
    queues: list[queue.Queue[_Item]] = []
    waiting = iter(ranges)

    def start() -> None:
        if (pages := next(waiting, None)) is not None:
            read: queue.Queue[_Item] = queue.Queue(_AHEAD_PAGES)
            queues.append(read)
            # a daemon: an abandoned listing must not keep the process alive
            threading.Thread(target=_fill, args=(pages, read, stop), daemon=True).start()

    try:
        for _ in range(_LISTED_AT_ONCE):
            start()
        while queues:
            item = queues[0].get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                queues.pop(0)
                start()
            else:
                yield item
    finally:
        stop.set()


def _fill(pages: Iterator[Page], read: queue.Queue[_Item], stop: threading.Event) -> None:
    end: BaseException | None = None
    try:
        for page in pages:
            if not _put(read, page, stop):
                return
    except BaseException as error:  # raised where the pages are read
        end = error
    _put(read, end, stop)


def _put(read: queue.Queue[_Item], item: _Item, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            read.put(item, timeout=0.2)
            return True
        except queue.Full:
            continue
    return False
