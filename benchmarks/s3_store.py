"""A store of the S3 kind on loopback: millions of generated objects, and buckets that are folders.

    python benchmarks/s3_store.py --objects 1000000 --folder DIR

It prints its port. The bucket `archive` holds generated objects below `corpus/`, in folders of ten
thousand, which can be listed only; every other bucket is a folder below DIR, which is read and
written. `GET /-/counts` returns how often each method was called for each bucket, and begins anew.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE_KEYS = 1000
FOLDER_KEYS = 10_000
_TIME = "2026-01-01T00:00:00.000Z"
_HTTP_TIME = "Thu, 01 Jan 2026 00:00:00 GMT"


class Generated(Sequence[str]):
    """The sorted keys of the generated objects; none is held."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        if not 0 <= place < self._count:
            raise IndexError
        return f"corpus/{place // FOLDER_KEYS:05d}/video-{place:09d}.mp4"

    def entry(self, place: int) -> tuple[int, str]:
        """Return size and etag of an object."""
        return 1_500_000 + place * 7919 % 2_000_001, f"{place * 0x9E3779B97F4A7C15 % 2**128:032x}"


class Folder(Sequence[str]):
    """The sorted keys of a bucket that is a folder, as it is now."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._keys = sorted(
            os.path.relpath(os.path.join(folder, name), root)
            for folder, _, names in os.walk(root)
            for name in names
        )

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, place: Any) -> Any:
        return self._keys[place]

    def entry(self, place: int) -> tuple[int, str]:
        """Return size and etag of an object."""
        status = (self._root / self._keys[place]).stat()
        return status.st_size, _etag(status)


class Handler(BaseHTTPRequestHandler):
    """The requests that vfeat makes."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[Generated]
    folder: ClassVar[Path]
    latency_s: ClassVar[float] = 0.0
    object_latency_s: ClassVar[float] = 0.0
    counts: ClassVar[Counter[str]] = Counter()
    parts: ClassVar[dict[str, dict[int, bytes]]] = {}
    wbufsize = 1 << 20
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def handle_expect_100(self) -> bool:
        """Let a client send its body; the answer must not wait in the buffer."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def _parsed(self) -> tuple[str, str, dict[str, str]]:
        split = urlsplit(self.path)
        bucket, _, key = unquote(split.path).lstrip("/").partition("/")
        query = {k: v[0] for k, v in parse_qs(split.query, keep_blank_values=True).items()}
        return bucket, key, query

    def do_GET(self) -> None:
        bucket, key, query = self._parsed()
        if bucket == "-":
            body = json.dumps(Handler.counts).encode()
            Handler.counts.clear()
            return self._answer(200, body)
        if not key:
            self._count("LIST", bucket, query.get("prefix", ""))
            time.sleep(self.latency_s)
            if "uploads" in query:
                return self._answer(200, b"<ListMultipartUploadsResult/>")
            return self._answer(200, self._list(bucket, query))
        self._count("GET", bucket, key)
        return self._object(bucket, key, body=True)

    def do_HEAD(self) -> None:
        bucket, key, _ = self._parsed()
        self._count("HEAD", bucket, key)
        self._object(bucket, key, body=False)

    def do_PUT(self) -> None:
        bucket, key, query = self._parsed()
        self._count("PUT", bucket, key)
        data = self._body()
        if "uploadId" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = data
            return self._answer(200, b"", ETag='"part"')
        return self._store(bucket, key, data, b"")

    def do_POST(self) -> None:
        bucket, key, query = self._parsed()
        self._count("POST", bucket, key)
        body = self._body()
        if "uploads" in query:
            name = f"u{len(self.parts)}"
            self.parts[name] = {}
            answer = (
                f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
                f"<UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            )
            return self._answer(200, answer.encode())
        if "uploadId" in query:
            parts = self.parts.pop(query["uploadId"])
            done = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
            return self._store(bucket, key, b"".join(parts[n] for n in sorted(parts)), done)
        assert "delete" in query
        for part in body.decode().split("<Key>")[1:]:
            (self.folder / bucket / part.partition("</Key>")[0]).unlink(missing_ok=True)
        return self._answer(200, b"<DeleteResult/>")

    def do_DELETE(self) -> None:
        bucket, key, _ = self._parsed()
        self._count("DELETE", bucket, key)
        (self.folder / bucket / key).unlink(missing_ok=True)
        self._answer(204, b"")

    def _count(self, method: str, bucket: str, key: str) -> None:
        """Count a request by its method and the folder of its key."""
        folder = key.rpartition("/")[0] if bucket != "archive" else ""
        Handler.counts[f"{method} {bucket}/{folder.rpartition('/')[2]}"] += 1

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _store(self, bucket: str, key: str, data: bytes, done: bytes) -> None:
        path = self.folder / bucket / key
        if self.headers.get("If-None-Match") == "*" and path.exists():
            return self._error(412, "PreconditionFailed")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        partial.write_bytes(data)
        partial.replace(path)
        return self._answer(200, done, ETag=_quoted(path))

    def _object(self, bucket: str, key: str, *, body: bool) -> None:
        time.sleep(self.object_latency_s)
        path = self.folder / bucket / key
        if not path.is_file():
            return self._error(404, "NoSuchKey", body=body)
        size = path.stat().st_size
        status, headers = 200, {"ETag": _quoted(path), "Last-Modified": _HTTP_TIME}
        start, end = 0, size
        if (ranged := self.headers.get("Range")) is not None:
            first, _, last = ranged.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, size - int(last))
            end = min(int(last) + 1, size) if first and last else size
            if start >= size:
                return self._error(416, "InvalidRange")
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start) if body else b""
        return self._answer(status, data, length=end - start, **headers)

    def _error(self, status: int, code: str, *, body: bool = True) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self._answer(status, text if body else b"", length=len(text))

    def _answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _list(self, bucket: str, query: dict[str, str]) -> bytes:
        keys = self.objects if bucket == "archive" else Folder(self.folder / bucket)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most = min(int(query.get("max-keys", PAGE_KEYS)), PAGE_KEYS)
        after = query.get("continuation-token") or query.get("start-after", "")
        place = bisect.bisect_left(keys, prefix)
        if after:
            place = max(place, bisect.bisect_right(keys, after))
        lines: list[str] = []
        last = ""
        while place < len(keys) and len(lines) < most:
            key = keys[place]
            if not key.startswith(prefix):
                place = len(keys)
                break
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                folder = f"{prefix}{head}{delimiter}"
                lines.append(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>")
                last = f"{folder}\U0010ffff"
                place = bisect.bisect_right(keys, last)
                continue
            size, etag = keys.entry(place)
            lines.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{_TIME}</LastModified>"
                f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
            last = key
            place += 1
        more = place < len(keys) and keys[place].startswith(prefix)
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
            f"<Name>{bucket}</Name><KeyCount>{len(lines)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{''.join(lines)}"
            "</ListBucketResult>"
        ).encode()


def _etag(status: os.stat_result) -> str:
    told = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _quoted(path: Path) -> str:
    return f'"{_etag(path.stat())}"'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each page")
    parser.add_argument(
        "--object-latency", type=float, default=0.0, help="seconds before an object, or its head"
    )
    arguments = parser.parse_args()
    Handler.objects = Generated(arguments.objects)
    Handler.folder = arguments.folder
    Handler.latency_s = arguments.latency
    Handler.object_latency_s = arguments.object_latency
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
