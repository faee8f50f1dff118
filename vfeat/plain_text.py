"""Text that cannot steer what shows it: control characters of names and messages written out.

No password and no signature of an address passes.
"""

from __future__ import annotations

import re

from vfeat.addresses import redacted

# Control characters, lone surrogates, line separators, and what turns the direction of text.
_UNSAFE = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
IN_NAMES = re.compile(f"[{_UNSAFE}]")
IN_SENTENCES = re.compile(f"(?!\n)[{_UNSAFE}]")
_UNDECODED = range(0xDC80, 0xDD00)  # bytes of a file name that is not UTF-8, as Python holds them


def one_line(text: str) -> str:
    """Write out the control characters of a name or a message, line breaks among them."""
    return IN_NAMES.sub(_escape, redacted(text))


def sentences(text: str) -> str:
    """Write out the control characters of our own text, which may have several lines."""
    return IN_SENTENCES.sub(_escape, redacted(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in _UNDECODED:
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode()
