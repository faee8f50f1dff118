"""What a listing gives: objects one by one, or in pages of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vfeat.addresses import public
from vfeat.storage.globs import matches

# called with (uri, reason, whether it is a folder) for what is there and cannot be looked at
OnSkip = Callable[[str, str, bool], object]


class Listed(NamedTuple):
    """An object as its listing describes it.

    Attributes:
        uri: absolute local path, or the full remote URI.
        size_bytes: size of the object.
        etag: changes when the content does; size and mtime for a local file.
    """

    uri: str
    size_bytes: int
    etag: str


class Page(NamedTuple):
    """Some objects of a listing, column by column (see `Listed`)."""

    uris: list[str]
    sizes: list[int]
    etags: list[str]

    def add(self, found: Listed) -> None:
        """Append one object."""
        self.uris.append(found.uri)
        self.sizes.append(found.size_bytes)
        self.etags.append(found.etag)

    def objects(self) -> Iterator[Listed]:
        """Yield the objects one by one."""
        return map(Listed._make, zip(self.uris, self.sizes, self.etags, strict=True))


@dataclass(frozen=True)
class SourceListing:
    """The listing of one source, and what a complete one would hold.

    Attributes:
        pages: the objects, once.
        base: what every URI of the source begins with, up to the part that `pattern` is about.
        pattern: split at `/`; empty for all that is below `base`, None for `base` alone.
        tail: what every URI of the source ends with: the further links of a chain.
    """

    pages: Iterator[Page]
    base: str
    pattern: tuple[str, ...] | None
    tail: str = ""

    def holds(self, uri: str) -> bool:
        """Return whether the listing would name an object of this public address."""
        base, tail = public(self.base), public(self.tail)
        if self.pattern is None:
            return uri == base
        if not (uri.startswith(base) and uri.endswith(tail)):
            return False
        return matches(self.pattern, uri[len(base) : len(uri) - len(tail)].split("/"))


def one_object(found: Listed) -> SourceListing:
    """Return the listing of a source that is one object."""
    page = Page([found.uri], [found.size_bytes], [found.etag])
    return SourceListing(iter([page]), found.uri, None)
