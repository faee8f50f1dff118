"""Addresses without what is secret in them: for everything that is stored, logged or shown.

User information (`https://user:password@host`) and the query of a web address (the signature of a
presigned URL) give access to an object. They stay in memory, and go to the reader of the object
only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# "s3://", "https://", and fsspec's chains such as "zip://a.mp4::s3://bucket/b.zip"
SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*(?:::[a-z][a-z0-9+.\-]*)*://", re.IGNORECASE)
_FILE = "file://"
_WEB = ("http", "https")
_S3 = ("s3", "s3a")
# schemes whose address begins with a host, and before it perhaps a user; in abfs it is a container
_WITH_USER = frozenset((*_WEB, *_S3, "ftp", "ftps", "sftp", "ssh", "smb", "webhdfs", "hdfs"))

_IN_TEXT = re.compile(r"[a-z][a-z0-9+.\-]*://\S+", re.IGNORECASE)
_CLOSERS = "'\")]}>,;:.!"  # what a sentence sets behind an address
# parameters of signed addresses, where a message holds them without the address
_PARAMETER = re.compile(
    r"\b((?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig"
    r"|access_token)=)[^\s&'\"<>,;)]+",
    re.IGNORECASE,
)


def public(uri: str, *, query: bool = False) -> str:
    """Return an address without user, password, query and fragment.

    Only web addresses have a query: `?` and `#` are legal in the name of a file, an S3 key or a
    member of an archive. Of an fsspec chain each link is treated so.

    Args:
        uri: path, URI or chain.
        query: keep query and fragment, for comparisons in memory.
    """
    if "@" not in uri and (query or ("?" not in uri and "#" not in uri)):
        return uri
    if uri.startswith(_FILE) or SCHEME.match(uri) is None:
        return uri
    if "::" not in uri or uri.startswith(("s3://", "s3a://")):
        return _public_link(uri, query)
    return "::".join(_public_link(link, query) for link in uri.split("::"))


def user_of(uri: str) -> str:
    """Return `user:password` of an address that is no chain; empty without one."""
    scheme, found, rest = uri.partition("://")
    if not found or "::" in scheme:
        return ""
    user, _ = _split_user(scheme.lower(), rest)
    return user


def with_user(uri: str, user: str) -> str:
    """Return an address with `user:password` put before its host."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{user}@{rest}"


def redacted(text: str) -> str:
    """Return a text, such as another library's message, with all addresses in it made public."""
    if "://" in text:
        text = _IN_TEXT.sub(_public_match, text)
    if "=" in text:
        text = _PARAMETER.sub(r"\1...", text)
    return text


def without_secrets(value: Any) -> Any:
    """Return a JSON-like value in which every text is free of secrets."""
    if isinstance(value, str):
        return redacted(public(value))
    if isinstance(value, Mapping):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def _public_match(found: re.Match[str]) -> str:
    return "::".join(_public_word(part) for part in found[0].split("::"))


def _public_word(word: str) -> str:
    """Return a word of a text, which an address may fill but for brackets and full stops."""
    if "://" not in word:
        return word
    kept = word.rstrip(_CLOSERS)
    return public(kept) + word[len(kept) :]


def _public_link(link: str, query: bool) -> str:
    scheme, found, rest = link.partition("://")
    if not found:
        return link
    kind = re.split(r"[^a-z0-9]", scheme.lower())[-1]  # `git+https` is of the web
    _, rest = _split_user(kind, rest)
    if kind in _WEB and not query:
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{rest}"


def _split_user(scheme: str, rest: str) -> tuple[str, str]:
    """Split what follows `://` into `(user:password, host and path)`."""
    end = re.search(r"[/?#]" if scheme in _WEB else "/", rest)
    host, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    user, found, name = host.rpartition("@")
    if found and (scheme in _WITH_USER or ":" in user):
        return user, name + path
    # A password with a slash that is not encoded, as keys of S3 have them; no host ends so.
    has_port = host.rpartition(":")[2].isdigit() or host.startswith(("[", "arn:"))
    if not found and scheme in _WITH_USER and ":" in host and "@" in path and not has_port:
        user, _, rest = rest.partition("@")
        more, rest = _split_user(scheme, rest)
        return f"{user}@{more}" if more else user, rest
    return "", rest
