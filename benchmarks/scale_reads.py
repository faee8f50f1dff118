"""Requests and bytes that `vfeat extract` needs for one video in a real S3 server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.engine.commands import TINY_FLAGS
from tests.s3.install import swift_bin
from tests.s3.proxy import Proxy
from tests.s3.server import S3Server

SIZE_BYTES = 20_000_000
_RATE = 25
_NAME = b"/bench/video.mp4"
_RANGE = re.compile(rb"range: bytes=(\S+)", re.IGNORECASE)

Figures = dict[str, Any]


class ObjectProxy(Proxy):
    """A proxy that tells requests for the video from all others.

    Attributes:
        lines: method and range of each request for the video.
        others: number of the other requests.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.lines: list[str] = []
        self.others = 0

    def note(self, sent: bytes) -> None:
        method, _, rest = sent.partition(b" ")
        if method not in {b"GET", b"HEAD", b"PUT", b"POST", b"DELETE"}:
            return
        if rest.startswith(_NAME):
            found = _RANGE.search(sent)
            self.lines.append(f"{method.decode()} {found[1].decode() if found else 'whole'}")
        else:
            self.others += 1


def noise(path: Path, bits_s: int) -> None:
    """Encode noise of about 20 MB; the index of the file stands at its end.

    Args:
        bits_s: bits of a second.
    """
    luck = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=_RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.bit_rate = bits_s
        stream.codec_context.time_base = Fraction(1, _RATE)
        for number in range(100_000):
            frame = av.VideoFrame.from_ndarray(
                luck.integers(0, 256, (180, 320, 3), np.uint8), format="rgb24"
            )
            frame.pts = number
            out.mux(stream.encode(frame))
            if number % 50 == 0 and path.stat().st_size > SIZE_BYTES:
                break
        out.mux(stream.encode(None))


def reads(folder: Path, old: Path | None) -> Iterator[tuple[str, Figures]]:
    """Measure both sides; yields a label and the figures of each.

    Args:
        old: another checkout, to be measured, too.
    """
    videos = {"one unit": 10_000_000, "three units": 4_000_000}
    for name, bits_s in videos.items():
        if not (path := folder / f"{name}.mp4").exists():
            noise(path, bits_s)
    server = S3Server(folder / "server", swift_bin())
    shutil.rmtree(server.root, ignore_errors=True)
    server.root.mkdir()
    server.configure()
    server.start()
    try:
        os.environ.update(server.environment)
        from vfeat.storage.remote import connect

        fs, _ = connect("s3://bench")
        fs.call_s3("create_bucket", Bucket="bench")
        root = Path(__file__).resolve().parent.parent
        sides = [("old", old)] if old else []
        for name in videos:
            path = folder / f"{name}.mp4"
            fs.put_file(str(path), "bench/video.mp4")
            etag = fs.call_s3("head_object", Bucket="bench", Key="video.mp4")["ETag"].strip('"')
            size = path.stat().st_size
            listed = {"uri": ["s3://bench/video.mp4"], "size_bytes": [size], "etag": [etag]}
            pq.write_table(pa.table(listed), folder / "list.parquet")
            for side, checkout in (*sides, ("new", root)):
                source = str(folder / "list.parquet")
                figures = _extract(source, folder / "out", checkout, server)
                yield f"reads, {name}, {side}", {**figures, "of_file": figures["bytes"] / size}
    finally:
        server.kill()


def _extract(source: str, out: Path, checkout: Path, server: S3Server) -> Figures:
    shutil.rmtree(out, ignore_errors=True)
    proxy = ObjectProxy(server.ports["proxy"])
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "vfeat", "extract", source, "--out", str(out), *TINY_FLAGS,
         "--executor", "inline", "--json"],
        env={**os.environ, "PYTHONPATH": str(checkout), "AWS_ENDPOINT_URL_S3": proxy.endpoint},
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall_s = time.perf_counter() - began
    proxy.close()
    if result.returncode:
        raise SystemExit(result.stderr)
    rows = json.loads(result.stdout)["totals"]["rows"]
    counts = Counter(line.partition(" ")[0] for line in proxy.lines)
    return {
        "HEAD": counts["HEAD"], "GET": counts["GET"], "other": proxy.others,
        "bytes": proxy.down_bytes, "rows": rows, "wall_s": wall_s, "asked": proxy.lines,
    }  # fmt: skip


__all__ = ["reads"]
