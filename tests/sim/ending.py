"""How a simulated command ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Ending:
    """How a command ended.

    Attributes:
        code: its exit code; None where it was killed.
        silences: workers that it took for dead.
        deaths: workers whose end it took for their leases' fault.
    """

    driver: str
    code: int | None
    text: str
    silences: int
    deaths: int
