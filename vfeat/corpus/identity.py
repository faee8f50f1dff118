"""What identifies a video: its address without secrets and query, and its etag."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.addresses import public
from vfeat.corpus.ids import ID, Ids

MISSING_ETAG = "missing"  # etag of a list's row whose object could not be found
_SIZE_ONLY = "-None"  # end of an etag of a store that gave neither checksum nor time
_STRIPPED = r"^[A-Za-z][A-Za-z0-9+.\-]*(?:::|://).*[?#@]"

Hashes = npt.NDArray[np.int64]


def identity_of(uri: str, etag: str) -> str:
    """Return what identifies the object, beside its etag.

    The query belongs to it where the store gives nothing else that distinguishes two objects.
    """
    return public(uri, query=_keeps_query(etag))


def identities(uris: pa.Array, etags: pa.Array) -> pa.Array:
    """Return `identity_of` each row of two columns of text."""
    odd = pc.match_substring_regex(uris, _STRIPPED)
    if not pc.any(odd).as_py():
        return uris
    names = uris.to_pylist()
    for place in np.flatnonzero(odd.to_numpy(zero_copy_only=False)).tolist():
        names[place] = identity_of(names[place], etags[place].as_py())
    return pa.array(names, pa.string())


def stripped(uris: pa.Array, *, query: bool) -> pa.Array:
    """Return `addresses.public` of each address, with the query of all or of none."""
    odd = pc.match_substring_regex(uris, _STRIPPED)
    if not pc.any(odd).as_py():
        return uris
    names = [
        public(uri, query=query) if is_odd else uri
        for uri, is_odd in zip(uris.to_pylist(), odd.to_pylist(), strict=True)
    ]
    return pa.array(names, pa.string())


def video_ids(identity: pa.Array, etags: pa.Array) -> Ids:
    """Return the video_id of each row, from what identifies its object and its etag."""
    keys = pc.binary_join_element_wise(identity, etags, "\0").cast(pa.binary()).to_pylist()
    blake2b = hashlib.blake2b
    return np.frombuffer(b"".join([blake2b(key, digest_size=16).digest() for key in keys]), ID)


def hashes(texts: pa.Array) -> Hashes:
    """Return 8 bytes of each text; the same text has others in another process."""
    return np.fromiter(map(hash, texts.cast(pa.binary()).to_pylist()), np.int64, len(texts))


def _keeps_query(etag: str) -> bool:
    return etag == MISSING_ETAG or etag.endswith(_SIZE_ONLY)
