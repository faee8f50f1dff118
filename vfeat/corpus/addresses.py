"""Addresses of a list's rows in one spelling, without a look at what they name."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.addresses import public, user_of, with_user
from vfeat.storage.uris import is_local, is_s3, local_path, local_uri, split_s3

# Most rows are absolute paths in their shortest spelling, or S3 keys: both stay as they are.
_MAY_STAY = r"^(?:s3://|/)"
_MAY_NOT = r"(?s)^/(?:.*/)?\.{0,2}(?:/|$)"


def addresses(texts: pa.Array, source: str) -> pa.Array:
    """Return `address_of` each text of a list."""
    other = pc.or_(
        pc.invert(pc.match_substring_regex(texts, _MAY_STAY)),
        pc.match_substring_regex(texts, _MAY_NOT),
    )
    if not pc.any(other).as_py():
        return texts
    spelled = [
        address_of(text, source) if changes else text
        for text, changes in zip(texts.to_pylist(), other.to_pylist(), strict=True)
    ]
    return pa.array(spelled, pa.string())


def address_of(text: str, source: str) -> str:
    """Return the address that a row means: an absolute path, or a URI.

    Args:
        text: the row's uri.
        source: the list; a relative name counts from its folder.
    """
    if is_s3(text):
        return f"s3://{'/'.join(split_s3(text))}"
    if not is_local(text):
        return text
    if is_relative(text):
        text = beside(source, text)
    return local_uri(local_path(text)) if is_local(text) else text


def is_relative(text: str) -> bool:
    """Return whether it is a path that does not begin at the root."""
    return is_local(text) and not text.startswith("file://") and not os.path.isabs(text)


def beside(source: str, text: str) -> str:
    """Resolve a relative name against the list's folder."""
    if not is_local(source):
        folder = public(source).rpartition("/")[0]  # a signature holds for the list alone
        user = user_of(source)
        return f"{with_user(folder, user) if user else folder}/{text}"
    return os.path.join(os.path.dirname(os.path.abspath(source)), text)
