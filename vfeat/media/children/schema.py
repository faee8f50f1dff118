"""Limits of a message's fields: how each is written, and what may be read."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Protocol


class Violation(Exception):
    """A field that is not what its kind of message has there; the text names both."""


class Field(Protocol):
    """One place of a message."""

    def write(self, value: Any) -> Any:
        """Return the value as msgpack can write it, within the limits."""

    def read(self, value: Any) -> Any:
        """Return the value if it is within the limits.

        Raises:
            Violation: it is not.
        """


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`; True and False are none."""

    low: int
    high: int

    def write(self, value: Any) -> int:
        return int(value)

    def read(self, value: Any) -> int:
        if type(value) is not int or not self.low <= value <= self.high:
            raise Violation(f"expected an integer from {self.low} to {self.high}")
        return value


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`."""

    low: float
    high: float

    def write(self, value: Any) -> float:
        return float(value)

    def read(self, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise Violation("expected a finite number")
        if not self.low <= value <= self.high:
            raise Violation(f"expected a number from {self.low:g} to {self.high:g}")
        return float(value)


@dataclass(frozen=True)
class Boolean:
    """True or False."""

    def write(self, value: Any) -> bool:
        return bool(value)

    def read(self, value: Any) -> bool:
        if type(value) is not bool:
            raise Violation("expected true or false")
        return value


@dataclass(frozen=True)
class Text:
    """At most `most` characters."""

    most: int

    def write(self, value: Any) -> str:
        # A name that is not UTF-8 holds what msgpack cannot write.
        return str(value)[: self.most].encode(errors="replace").decode()

    def read(self, value: Any) -> str:
        if type(value) is not str:
            raise Violation("expected a text")
        if len(value) > self.most:
            raise Violation(f"expected at most {self.most} characters, found {len(value)}")
        return value


class Choice:
    """One of some texts."""

    def __init__(self, *choices: str) -> None:
        self._choices = choices

    def write(self, value: Any) -> str:
        return str(value)

    def read(self, value: Any) -> str:
        if type(value) is not str or value not in self._choices:
            raise Violation(f"expected one of {len(self._choices)} words")
        return value


@dataclass(frozen=True)
class Optional:
    """A field that may be None."""

    part: Field

    def write(self, value: Any) -> Any:
        return None if value is None else self.part.write(value)

    def read(self, value: Any) -> Any:
        return None if value is None else self.part.read(value)


@dataclass(frozen=True)
class Sequence:
    """At most `most` fields of one kind, as a tuple."""

    part: Field
    most: int

    def write(self, value: Any) -> Any:
        return tuple(self.part.write(one) for one in tuple(value)[: self.most])

    def read(self, value: Any) -> Any:
        if type(value) is not tuple:
            raise Violation("expected a list")
        if len(value) > self.most:
            raise Violation(f"expected at most {self.most} entries, found {len(value)}")
        return tuple(self.part.read(one) for one in value)


class Record:
    """The fields of a dataclass, in its order.

    Attributes:
        kind: the dataclass.
        parts: one limit for each of its fields.
    """

    def __init__(self, kind: type, *parts: Field) -> None:
        self.kind = kind
        self.parts = parts
        self._names = tuple(field.name for field in fields(kind))
        if len(parts) != len(self._names):
            raise TypeError(f"{kind.__name__} has {len(self._names)} fields, not {len(parts)}")

    def write(self, value: Any) -> Any:
        return tuple(
            part.write(getattr(value, name))
            for name, part in zip(self._names, self.parts, strict=True)
        )

    def read(self, value: Any) -> Any:
        name = self.kind.__name__
        if type(value) is not tuple or len(value) != len(self.parts):
            raise Violation(f"{name}: expected {len(self.parts)} fields")
        found = []
        for field, part, one in zip(self._names, self.parts, value, strict=True):
            try:
                found.append(part.read(one))
            except Violation as violation:
                raise Violation(f"{name}.{field}: {violation}") from None
        return self.kind(*found)
