"""Parameters of a request: the query part of its address, checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from vfeat.errors import JobError
from vfeat.search.condition import Condition

VIDEO_ID = re.compile(r"[0-9a-f]{32}")
MOST_HITS = 200
HITS = 36
_MOST_LABELS = 50
_MOST_CHARS = 4000


@dataclass(frozen=True)
class Filters:
    """Which clips count.

    Attributes:
        where: a condition in SQL; empty for none.
        labels: only clips whose best label is one of these; empty for all.
    """

    where: str
    labels: tuple[str, ...]

    def condition(self) -> str | None:
        """Return both as one condition; None for all clips.

        Raises:
            JobError: `where` is no condition.
        """
        parts = []
        if self.where:
            Condition(self.where)  # by itself: it cannot end the brackets around it
            parts.append(f"(\n{self.where}\n)")
        if self.labels:
            names = ", ".join("'" + name.replace("'", "''") + "'" for name in self.labels)
            parts.append(f"label IN ({names})")
        return " AND ".join(parts) or None


def filters(query: QueryParams) -> Filters:
    """Return the filters of a request."""
    where, labels = query.get("where", "").strip(), query.getlist("label")
    if len(where) > _MOST_CHARS or len(labels) > _MOST_LABELS:
        raise JobError(f"expected up to {_MOST_CHARS} characters and {_MOST_LABELS} labels")
    return Filters(where, tuple(dict.fromkeys(labels)))


def seconds(query: QueryParams, name: str = "t") -> float:
    """Return a time.

    Raises:
        JobError: it is not a number of seconds.
    """
    text = query.get(name, "0")
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < 1e9:
        raise JobError(f"{name}={text[:40]!r}: expected seconds, for example {name}=12.5")
    return found


def count(query: QueryParams, name: str, default: int, most: int) -> int:
    """Return a whole number from 0 to `most`.

    Raises:
        JobError: it is none.
    """
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > most:
        raise JobError(f"{name}={text[:40]!r}: expected a number from 0 to {most:,}")
    return int(text)
