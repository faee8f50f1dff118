"""Retries: repeat a call while its failure may be transient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vfeat.storage.failures import explain, is_bucket_missing, is_expected, is_transient
from vfeat.surroundings import here

T = TypeVar("T")

PATIENCE_S = 120.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
# Buckets that answered this process. A store that is half up again reports one of them as missing
# (seen with Swift, whose proxy listens before its container server): wait for it.
_answered: set[str] = set()


def call_with_retries(
    call: Callable[[], T],
    uri: str,
    patience_s: float = PATIENCE_S,
    needed_bytes: int | None = None,
) -> T:
    """Return `call()`, repeating it while it fails in a way that may pass.

    Args:
        call: function that is safe to repeat.
        uri: object of the call, for the message.
        patience_s: seconds after the first failure until it counts as permanent.
        needed_bytes: size of the object being written, for the message of a full disk.

    Raises:
        StorageError: with one sentence; at once when waiting would not help.
    """
    bucket = "/".join(uri.split("/", 3)[:3]) if "://" in uri else ""
    deadline_s: float | None = None
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            result = call()
            if bucket:
                _answered.add(bucket)
            return result
        except Exception as error:
            if not is_expected(error):
                raise
            now_s = here().now_s()
            if deadline_s is None:
                deadline_s = now_s + patience_s
            passes = is_transient(error) or (bucket in _answered and is_bucket_missing(error))
            if not passes or now_s >= deadline_s:
                raise explain(error, uri, needed_bytes) from error
        # jitter: a thousand workers met the same outage at the same moment
        here().sleep(min(pause_s, deadline_s - now_s) * here().uniform(0.5, 1.0))
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
