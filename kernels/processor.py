"""Processor information of the operating system."""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux


def processor(field: str) -> str:
    """Return a field of the first processor; empty if unknown.

    Args:
        field: name in /proc/cpuinfo, such as `vendor_id` or `model name`.
    """
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    named = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in named if name.strip() == field), "")
