"""Videos in a bucket: played by ranges, converted, and seen, without a copy on disk."""

from __future__ import annotations

import io
from pathlib import Path

import av

from tests.browse.served import serving
from tests.engine.jobs import tiny_job
from vfeat.engine.watch import Watch
from vfeat.extract.run import ExtractRun
from vfeat.storage.root import Root

CLIPS = Path(__file__).parents[1] / "clips"


def test_videos_play_from_a_bucket(bucket: str) -> None:
    names = ("cfr25_bframes.mp4", "mjpeg.avi")
    for name in names:
        Root(f"{bucket}/videos").replace_bytes(name, (CLIPS / name).read_bytes())
    stage = ExtractRun(tiny_job(f"{bucket}/out", f"{bucket}/videos"), Watch())
    try:
        assert stage.run().exit_code == 0
    finally:
        stage.close()
    with serving(f"{bucket}/out") as served:
        videos = {v["name"]: v["video"] for v in served.json("api/videos")["videos"]}
        assert set(videos) == set(names)
        for name, video in videos.items():
            content = (CLIPS / name).read_bytes()
            part = served.ask(f"file/{video}", headers={"Range": "bytes=1000-4999"})
            assert (part.status, part.body) == (206, content[1000:5000])
            assert part.headers["content-range"] == f"bytes 1000-4999/{len(content)}"
            assert served.ask(f"file/{video}").body == content
            picture = served.ask(f"thumbnail/{video}?t=0.3")
            assert picture.body.startswith(b"\xff\xd8"), picture.body
            stretch = served.ask(f"stretch/{video}?t=0.3")
            with av.open(io.BytesIO(stretch.body)) as film:
                assert next(film.decode(video=0)).width > 0
        Root(f"{bucket}/videos").replace_bytes("mjpeg.avi", b"another object")
        video = videos["mjpeg.avi"]
        assert served.ask(f"file/{video}").status == 409
        assert served.ask(f"stretch/{video}?t=0").status == 409
