"""Shell patterns over paths: `*`, `**`, `?` and `[...]`, part by part.

A pattern that matches a folder matches everything below it, as the shell's expansion would. Names
that begin with a dot match only a part that begins with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

_MAGIC = frozenset("*?[")


def has_magic(text: str) -> bool:
    """Return whether the text holds a character with a meaning in patterns."""
    return not _MAGIC.isdisjoint(text)


def literal_parts(parts: Sequence[str]) -> int:
    """Count the leading parts that are plain names; the last part never counts."""
    plain = 0
    for part in parts[:-1]:
        if has_magic(part):
            break
        plain += 1
    return plain


def literal_prefix(text: str) -> str:
    """Return the text before its first magic character."""
    ends = [text.index(c) for c in _MAGIC if c in text]
    return text[: min(ends)] if ends else text


def is_hidden(name: str) -> bool:
    """Return whether the name begins with a dot."""
    return name.startswith(".")


def matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Return whether the path, or a folder above it, matches the whole pattern.

    Args:
        pattern, path: split at `/` into parts.
    """
    if not pattern:
        return not any(map(is_hidden, path))
    if pattern[0] == "**":
        return matches(pattern[1:], path) or (
            len(path) > 0 and not is_hidden(path[0]) and matches(pattern, path[1:])
        )
    return len(path) > 0 and _part(pattern[0], path[0]) and matches(pattern[1:], path[1:])


def may_hold(pattern: Sequence[str], folder: Sequence[str]) -> bool:
    """Return whether anything below the folder can match; if not, it need not be listed.

    Args:
        pattern, folder: split at `/` into parts.
    """
    if not pattern or not folder or pattern[0] == "**":
        return True
    return _part(pattern[0], folder[0]) and may_hold(pattern[1:], folder[1:])


def _part(pattern: str, name: str) -> bool:
    return is_hidden(pattern) >= is_hidden(name) and fnmatchcase(name, pattern)
