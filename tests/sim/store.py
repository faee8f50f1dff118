"""A simulated S3 store: objects in memory, answers late, lost, refused, or not at all.

It stands where s3fs does; all of vfeat above it is the real code.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sim.kernel import Kernel, Killed

PAGE_KEYS = 1000


@dataclass
class Weather:
    """How a store behaves; shares are of its requests.

    Attributes:
        latency_s: of an answer, on average.
        refused: 503, nothing is done.
        lost: the request is carried out, its answer never comes.
        late: a write that counts as lost, and is carried out after all, some time later.
        denied: 403.
        outages: from when to when nothing answers, seconds.
        lag_s: how old a listing may be.
        page_keys: keys in a page of a listing.
        is_conditional: understands If-None-Match.
    """

    latency_s: float = 0.02
    refused: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    denied: float = 0.0
    outages: list[tuple[float, float]] = field(default_factory=list)
    lag_s: float = 0.0
    page_keys: int = PAGE_KEYS
    is_conditional: bool = True


@dataclass
class Stored:
    """One object; a listing shows it from `listed_s` on."""

    data: bytes
    etag: str
    about: dict[str, str]
    listed_s: float
    size_bytes: int = 0  # of an object whose content is not kept


class Refused(OSError):
    """An answer of the store that is not a success, as s3fs would raise it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.response = {
            "Error": {"Code": code, "Message": "simulated"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


class Store:
    """S3 as `vfeat.storage` calls it."""

    protocol = ("s3", "s3a")
    async_impl = False

    def __init__(self, kernel: Kernel, weather: Weather) -> None:
        self.kernel = kernel
        self.weather = weather
        self.was_conditional = weather.is_conditional
        self.objects: dict[str, Stored] = {}
        self.created: dict[str, int] = {}  # how often the content of a key was set
        self._ghosts: dict[str, tuple[int, float]] = {}  # deleted, and still listed

    # as s3fs

    def call_s3(self, name: str, **asked: Any) -> dict[str, Any]:
        method: Callable[..., dict[str, Any]] = getattr(self, f"_{name}")
        return method(**asked)

    def pipe_file(self, path: str, data: bytes, **extra: Any) -> None:
        self._put(path, data, **extra)

    def put_file(self, local: str, path: str, **extra: Any) -> None:
        self._put(path, Path(local).read_bytes(), **extra)

    def cat_file(self, path: str, **_: Any) -> bytes:
        return self._request("GET", path, lambda: self._found(path).data)

    def rm_file(self, path: str) -> None:
        self._request("DELETE", path, lambda: self._remove(path), is_write=True)

    def _put(
        self, path: str, data: bytes, *, mode: str = "", Metadata: dict[str, str] | None = None,
        **_: Any,
    ) -> None:  # fmt: skip
        def work() -> None:
            if mode == "create":
                if not self.weather.is_conditional:
                    raise Refused(501, "NotImplemented")
                if path in self.objects:
                    raise Refused(412, "PreconditionFailed")
            self.place(path, data, Metadata)

        self._request(f"PUT{mode and ' if none'}", path, work, is_write=True)

    def _head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            found = self._found(f"{Bucket}/{Key}")
            return {
                "ContentLength": found.size_bytes or len(found.data),
                "ETag": f'"{found.etag}"',
                "Metadata": found.about,
            }  # fmt: skip

        return self._request("HEAD", f"{Bucket}/{Key}", work)

    def _get_object(self, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            found = self._found(f"{Bucket}/{Key}")
            return {
                "Body": io.BytesIO(found.data), "ContentLength": len(found.data),
                "ETag": f'"{found.etag}"',
            }  # fmt: skip

        return self._request("GET", f"{Bucket}/{Key}", work)

    def _list_objects_v2(
        self, Bucket: str, Prefix: str, ContinuationToken: str = "", **_: Any
    ) -> dict[str, Any]:
        start = f"{Bucket}/{Prefix}"

        def work() -> dict[str, Any]:
            names = self.listed()
            keys = sorted(
                key for key in names if key.startswith(start) and "/" not in key[len(start) :]
            )
            rest = [key for key in keys if key > ContinuationToken]
            page = rest[: self.weather.page_keys]
            return {
                "Contents": [{"Key": k[len(Bucket) + 1 :], "Size": names[k]} for k in page],
                "IsTruncated": len(rest) > len(page),
                "NextContinuationToken": page[-1] if page else "",
            }

        return self._request("LIST", start, work)

    def _delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        keys = [f"{Bucket}/{entry['Key']}" for entry in Delete["Objects"]]

        def work() -> dict[str, Any]:
            for key in keys:
                self._remove(key)
            return {}

        return self._request("DELETE", keys[0], work, is_write=True)

    def _list_multipart_uploads(self, **_: Any) -> dict[str, Any]:
        return {}

    # what is there

    def place(self, key: str, data: bytes, about: dict[str, str] | None = None) -> None:
        """Set an object at once."""
        listed_s = self.kernel.now_s
        if self.weather.lag_s and key not in self.objects:
            listed_s += self.kernel.chance.uniform(0, self.weather.lag_s)
        etag = hashlib.blake2b(data, digest_size=8).hexdigest()
        self.objects[key] = Stored(data, etag, about or {}, listed_s)
        self.created[key] = self.created.get(key, 0) + 1

    def listed(self) -> dict[str, int]:
        """Return what a listing shows at present: sizes by key."""
        now_s = self.kernel.now_s
        found = {k: len(o.data) for k, o in self.objects.items() if o.listed_s <= now_s}
        if self._ghosts:
            old = {k: size for k, (size, until_s) in self._ghosts.items() if until_s > now_s}
            found = old | found
        return found

    def _found(self, key: str) -> Stored:
        if key not in self.objects:
            raise FileNotFoundError(key)
        return self.objects[key]

    def _remove(self, key: str) -> None:
        gone = self.objects.pop(key, None)
        if gone is not None and self.weather.lag_s:
            until_s = self.kernel.now_s + self.kernel.chance.uniform(0, self.weather.lag_s)
            self._ghosts[key] = (len(gone.data), until_s)

    # requests

    def _request(
        self, verb: str, key: str, work: Callable[[], Any], *, is_write: bool = False
    ) -> Any:
        kernel, weather = self.kernel, self.weather
        task = kernel.task
        if task is None:
            return work()  # outside of all tasks there are no faults
        kernel.step()
        kernel.trace(task.process.name, task.name, verb, key)
        here_s = kernel.chance.uniform(0.2, 1.8) * weather.latency_s
        try:
            kernel.sleep(here_s / 2)
        except Killed:
            if is_write and kernel.happens(0.5):  # the request had left
                self._later(verb, key, work)
            raise
        self._trouble(verb, key, work, is_write=is_write)
        result = work()
        if kernel.happens(weather.lost):
            kernel.fault("answer lost", verb, key)
            kernel.sleep(1.0)
            raise ConnectionResetError("simulated: the answer was lost")
        kernel.sleep(here_s / 2)
        return result

    def _trouble(self, verb: str, key: str, work: Callable[[], Any], *, is_write: bool) -> None:
        kernel, weather = self.kernel, self.weather
        if any(begin_s <= kernel.now_s < end_s for begin_s, end_s in weather.outages):
            kernel.fault("outage", verb, key)
            raise ConnectionRefusedError("simulated: an outage")
        if kernel.happens(weather.refused):
            kernel.fault("refused", verb, key)
            raise Refused(503, "SlowDown")
        if kernel.happens(weather.denied):
            kernel.fault("denied", verb, key)
            raise Refused(403, "AccessDenied")
        if is_write and kernel.happens(weather.late):
            kernel.fault("late write", verb, key)
            self._later(verb, key, work)
            kernel.sleep(2.0)
            raise ConnectionResetError("simulated: no answer")

    def _later(self, verb: str, key: str, work: Callable[[], Any]) -> None:
        def arrive() -> None:
            self.kernel.trace("arrives late", verb, key)
            try:
                work()
            except OSError:
                return  # refused; its client has ended

        self.kernel.at(self.kernel.chance.uniform(0.1, 30.0), arrive)
