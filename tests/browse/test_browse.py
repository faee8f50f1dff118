"""`vfeat browse`: who is answered, with what, and what no address can reach."""

from __future__ import annotations

import gc
import http.client
import io
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import av
import cv2
import numpy as np
import pytest

import vfeat
from benchmarks.report import make_dataset
from tests.browse.served import TOKEN, Served, serving
from tests.engine.jobs import tiny_job, tree
from vfeat.browse.guard import host_name
from vfeat.browse.playing import parse_range
from vfeat.browse.search_view import hit_fields
from vfeat.engine.watch import Watch
from vfeat.extract.query import embed_query
from vfeat.extract.run import ExtractRun
from vfeat.tables.duplicates import DuplicateRow, duplicates_table, write_duplicates

CLIPS = Path(__file__).parents[1] / "clips"
EVIL = '"><img src=x onerror=alert(1)>\x1b[31m.mp4'
PLAYED = ["cfr25_bframes.mp4", "mjpeg.avi", "mpeg2_late_start.ts", "rotated_90.mp4"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 30 videos with labels, all of one clip, and a table of copies beside it."""
    folder = tmp_path_factory.mktemp("made")
    out = make_dataset(folder, 30)
    dataset = vfeat.open(str(out))
    ids = list(dict.fromkeys(dataset.to_arrow(["video_id"]).column(0).to_pylist()))
    row = DuplicateRow(
        "/x/a.mp4", "/x/b.mp4", ids[0], ids[1], 1.0, 2.0, 3.0, 4.0, 1.0, 0.9, 5, 0, 0
    )
    write_duplicates(duplicates_table([row]), str(folder / "copies.parquet"))
    return out


@pytest.fixture(scope="module")
def labelled(made: Path) -> Iterator[Served]:
    with serving(str(made), duplicates=str(made.parent / "copies.parquet")) as served:
        yield served


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dataset that was really extracted, of several formats; one of its files is then gone."""
    folder = tmp_path_factory.mktemp("films")
    videos = folder / "videos"
    videos.mkdir()
    for name in PLAYED:
        shutil.copy(CLIPS / name, videos)
    for name in (EVIL, "gone.mp4", "changed.mp4"):
        shutil.copy(CLIPS / "cfr25_bframes.mp4", videos / name)
    stage = ExtractRun(tiny_job(folder / "out", videos), Watch())
    try:
        assert stage.run().exit_code == 0
    finally:
        stage.close()
    (videos / "gone.mp4").unlink()
    (videos / "changed.mp4").write_bytes(b"another file")
    with serving(str(folder / "out")) as served:
        yield served


def video_of(served: Served, name: str) -> str:
    [video] = [v["video"] for v in served.json("api/videos")["videos"] if v["name"] == name]
    return str(video)


def test_a_wrong_token_opens_nothing(labelled: Served) -> None:
    for token in ("", "x", "token-of-the-tests2", "token-of-the-test", "%74oken", ".."):
        for path in ("", "api/videos", "page/main.js", "../token-of-the-tests/api/videos"):
            answer = labelled.ask(path, token=token)
            assert answer.status == 403, (token, path)
            assert "token" in answer.json["error"]


def test_another_name_of_this_machine_is_refused(labelled: Served) -> None:
    """DNS rebinding: a page of a stranger's site whose name leads to 127.0.0.1."""
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "localhost@x"):
        assert labelled.ask("api/videos", headers={"Host": host}).status == 403, host
    for host in ("localhost", "127.0.0.1:1", "[::1]:99"):
        assert labelled.ask("api/videos", headers={"Host": host}).status == 200, host
    strange = {"Origin": "https://evil.example"}
    assert labelled.ask("api/query", "POST", strange, b"x").status == 403
    assert host_name("[::1]:80") == "::1"


@pytest.mark.parametrize(
    "tail",
    [
        "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "s3://bucket/key",
        "http://127.0.0.1/", "..", ".", "%00", "0" * 32, "0" * 31 + "G", "\\..\\..", "main.js%00",
        "..%5c..", "server.py", "../server.py", "../../pyproject.toml",
    ],
)  # fmt: skip
def test_no_address_leaves_the_dataset(labelled: Served, tail: str) -> None:
    for place in ("file/", "stretch/", "thumbnail/", "api/video/", "page/", ""):
        answer = labelled.ask(place + tail)
        assert answer.status == 404, (place, tail)
        assert set(answer.json) == {"error"}
    for query in (f"like={quote(tail)}", f"query={quote(tail)}"):
        assert labelled.ask(f"api/search?{query}").status == 404


def test_only_reading_is_answered(labelled: Served, made: Path) -> None:
    before = tree(made)
    video = labelled.json("api/videos")["videos"][0]["video"]
    for path in ("", "api/videos", f"file/{video}", f"api/video/{video}", f"thumbnail/{video}"):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = labelled.ask(path, method, body=b"x")
            assert answer.status == 405, (method, path)
            assert "error" in answer.json
    assert labelled.ask("api/query", "GET").status == 405
    labelled.json(f"api/search?like={video}&t=0.5")
    assert tree(made) == before


def test_every_answer_forbids_what_the_page_does_not_need(labelled: Served) -> None:
    video = labelled.json("api/videos")["videos"][0]["video"]
    for path in ("", "page/main.js", "api/videos", f"file/{video}", "file/none", "api/clips"):
        headers = labelled.ask(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    page = labelled.ask("").body.decode()
    assert "<script>" not in page and " style=" not in page and " onclick" not in page


def test_ranges_are_those_of_the_file(films: Served) -> None:
    content = (CLIPS / "cfr25_bframes.mp4").read_bytes()
    path, size = f"file/{video_of(films, 'cfr25_bframes.mp4')}", len(content)
    whole = films.ask(path)
    assert (whole.status, whole.body) == (200, content)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "video/mp4"
    for asked, first, end in (
        ("bytes=0-", 0, size), ("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200),
        ("bytes=-7", size - 7, size), (f"bytes={size - 1}-", size - 1, size),
        (f"bytes=5-{size + 9}", 5, size), (f"bytes=-{size + 9}", 0, size),
    ):  # fmt: skip
        part = films.ask(path, headers={"Range": asked})
        assert (part.status, part.body) == (206, content[first:end]), asked
        assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{size}"
        assert part.headers["content-length"] == str(end - first)
    for asked in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        part = films.ask(path, headers={"Range": asked})
        assert (part.status, part.headers["content-range"]) == (416, f"bytes */{size}"), asked
    for asked in ("bytes=0-1,4-5", "bytes=9-3", "bytes=-", "lines=1-2", "bytes=a-b"):
        assert films.ask(path, headers={"Range": asked}).body == content, asked
    head = films.ask(path, "HEAD", {"Range": "bytes=0-9"})
    assert (head.status, head.body, head.headers["content-length"]) == (206, b"", "10")
    old = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert films.ask(path, headers=old).status == 200
    assert films.ask(path, headers={**old, "If-Range": whole.headers["etag"]}).status == 206


def test_a_range_of_nothing_is_outside() -> None:
    assert parse_range("bytes=0-", 0) == ()
    assert parse_range("bytes=-5", 0) == ()
    assert parse_range(None, 5) is None


def test_a_file_that_is_not_the_listed_one_is_an_error(films: Served) -> None:
    for name, status in (("gone.mp4", 404), ("changed.mp4", 409)):
        video = video_of(films, name)
        for path in (f"file/{video}", f"stretch/{video}?t=0", f"thumbnail/{video}?t=0"):
            answer = films.ask(path)
            assert answer.status in (status, 409, 422), (path, answer.body)
            assert name in answer.json["error"] or "changed" in answer.json["error"]
        assert films.ask(f"file/{video}").status == status


@pytest.mark.parametrize("name", PLAYED)
def test_a_stretch_is_playable_at_its_second(films: Served, name: str) -> None:
    """Its pictures are those of the original at the same time, whatever the container."""
    at_s = 0.5
    answer = films.ask(f"stretch/{video_of(films, name)}?t={at_s}")
    assert answer.status == 200, answer.body
    start_s = float(answer.headers["vfeat-start-s"])
    assert start_s <= at_s
    with av.open(io.BytesIO(answer.body)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = [(start_s + float(f.time), f) for f in film.decode(stream) if f.time is not None]
    found = next(f for t, f in reversed(frames) if t <= at_s + 1e-6)
    with av.open(str(CLIPS / name)) as film:
        original = list(film.decode(film.streams.video[0]))
    origin = original[0].time or 0.0
    truth = next(f for f in reversed(original) if (f.time or 0) - origin <= at_s + 1e-6)
    upright = np.rot90(truth.to_ndarray(format="rgb24"), round(truth.rotation / 90) % 4)
    picture = found.to_ndarray(format="rgb24")
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright).mean() < 8
    copied = name == "cfr25_bframes.mp4"
    assert answer.headers["vfeat-copied"] == str(int(copied))


def test_thumbnails_are_pictures_of_their_second(films: Served) -> None:
    video = video_of(films, "cfr25_bframes.mp4")
    pictures = [films.ask(f"thumbnail/{video}?t={t}") for t in (0.1, 2.1, 0.1)]
    assert [p.headers["content-type"] for p in pictures] == ["image/jpeg"] * 3
    decoded = [cv2.imdecode(np.frombuffer(p.body, np.uint8), 1) for p in pictures]
    assert pictures[0].body == pictures[2].body != pictures[1].body
    assert decoded[0].shape == (176, 176, 3)


def test_results_are_those_of_vfeat_search(labelled: Served, made: Path) -> None:
    dataset = vfeat.open(str(made))
    clip = dataset.clip_at(labelled.json("api/videos")["videos"][3]["video"], 1.5)
    where, label = "start_s < 1.5", "label 3"
    for query, condition in (
        ("", None),
        (f"&where={quote(where)}", where),
        (f"&label={quote(label)}&label=label+5", "label in ('label 3', 'label 5')"),
        (f"&where={quote('start_s < 1 or start_s > 1 -- or')}&label={quote(label)}",
         "(start_s < 1 or start_s > 1) and label = 'label 3'"),
    ):  # fmt: skip
        found = labelled.json(f"api/search?like={clip.video_id}&t=1.5&k=9{query}")
        expected = dataset.search(clip.vector_D, 9, condition)
        assert found["hits"] == [hit_fields(hit) for hit in expected]
        assert len(expected) > 0
    assert found["of"]["video"] == clip.video_id


def test_clips_by_label_are_all_of_them_page_by_page(labelled: Served, made: Path) -> None:
    rows = vfeat.open(str(made)).to_arrow(["video_id", "clip_index", "start_s"]).to_pylist()
    truth = [(r["video_id"], r["clip_index"]) for r in rows if r["start_s"] < 2]
    found, more = [], True
    while more:
        page = labelled.json(f"api/clips?where={quote('start_s < 2')}&first={len(found)}")
        found += [(hit["video"], hit["clip"]) for hit in page["hits"]]
        more = page["more"]
    assert found == truth
    assert len(truth) > 36


def test_labels_are_counted(labelled: Served, made: Path) -> None:
    end_s = time.monotonic() + 120
    while not (about := labelled.json("api/dataset"))["done"]:
        assert time.monotonic() < end_s
        time.sleep(0.1)
    labels = vfeat.open(str(made)).to_arrow(["labels"]).column(0).to_pylist()
    assert sum(entry["clips"] for entry in about["labels"]) == len(labels)
    assert about["videos"] == 30 and about["error"] is None


def test_a_video_comes_with_its_lines_and_its_copies(labelled: Served) -> None:
    videos = [v["video"] for v in labelled.json("api/videos")["videos"]]
    found = labelled.json(f"api/video/{videos[0]}")
    [line] = found["lines"]
    assert line["stretches"][0]["start_s"] == 0.0
    assert all(s["label"].startswith("label ") for s in line["stretches"])
    everything = [labelled.json(f"api/video/{v}")["copies"] for v in videos]
    both = [copy for copies in everything for copy in copies]
    assert sorted((c["start_s"], c["other_start_s"]) for c in both) == [(1.0, 3.0), (3.0, 1.0)]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("api/clips?where=nonsense+here", "The columns are"),
        ("api/clips?where=1%3D1)+or+(1%3D1", "--where"),
        ("api/clips?where=1%3B+drop+table+x", "--where"),
        ("api/clips?where=uri+in+(select+*+from+read_text('/etc/passwd'))", "--where"),
        ("api/clips", "expected a label or a condition"),
        ("api/clips?first=-1&label=x", "first"),
        ("api/search?like={video}&t=nan", "expected seconds"),
        ("api/search?like={video}&t=-1", "expected seconds"),
        ("api/search?like={video}&t=99999", "no stored clip"),
        ("api/search?like={video}&k=100000", "expected a number"),
        ("stretch/{video}?t=1e400", "expected seconds"),
    ],
)
def test_an_error_is_a_message(labelled: Served, path: str, words: str) -> None:
    video = labelled.json("api/videos")["videos"][0]["video"]
    answer = labelled.ask(path.format(video=video))
    assert answer.status == 400, answer.body
    assert words in answer.json["error"]


def test_a_dropped_clip_finds_what_vfeat_search_finds(films: Served) -> None:
    content = (CLIPS / "rotated_90.mp4").read_bytes()
    posted = films.ask("api/query?name=mine.mp4", "POST", body=content)
    assert posted.status == 200, posted.body
    found = films.json(f"api/search?query={posted.json['query']}&k=3")
    assert found["of"]["name"] == "mine.mp4"
    loaded = films.opened.queries._encoder
    again = films.ask("api/query?name=again.mp4", "POST", body=content)
    assert again.status == 200 and films.opened.queries._encoder is loaded is not None
    dataset = films.opened.dataset
    vector = embed_query(str(CLIPS / "rotated_90.mp4"), dataset.recipe, None, "cpu")
    hits = [hit_fields(hit) for hit in dataset.search(vector, 3)]
    assert [h["video"] for h in found["hits"]] == [h["video"] for h in hits]
    assert [h["score"] for h in found["hits"]] == pytest.approx([h["score"] for h in hits])
    for body in (b"no video at all", b""):
        refused = films.ask("api/query?name=bad.mp4", "POST", body=body)
        assert refused.status == 400 and "bad.mp4" in refused.json["error"]
        assert "/tmp" not in refused.json["error"]


def test_names_are_written_out(films: Served) -> None:
    names = {video["name"] for video in films.json("api/videos")["videos"]}
    assert EVIL.replace("\x1b", "\\x1b") in names
    # The script has no way to make markup of a text.
    for part in (Path(vfeat.__file__).parent / "browse" / "page").glob("*.js"):
        text = part.read_text()
        for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
            assert way not in text, part


def test_fifty_requests_at_once_are_answered(films: Served) -> None:
    video = video_of(films, "cfr25_bframes.mp4")
    size = (CLIPS / "cfr25_bframes.mp4").stat().st_size
    paths = [
        (f"file/{video}", {"Range": f"bytes={n}-{n + 999}"}) if n % 3 == 0
        else (f"thumbnail/{video}?t={n / 10}", {}) if n % 3 == 1
        else (f"api/search?like={video}&t=0.5", {})
        for n in range(50)
    ]  # fmt: skip
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda asked: films.ask(asked[0], headers=asked[1]), paths))
    assert {answer.status for answer in answers} == {200, 206}
    assert size > 2000
    assert len({a.body for (path, _), a in zip(paths, answers, strict=True) if "api" in path}) == 1


def test_a_reader_who_goes_away_leaves_no_file_open(films: Served) -> None:
    video = video_of(films, "cfr25_bframes.mp4")
    path = films.opened.videos.get(video).uri
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", films.port, timeout=60)
        connection.request("GET", f"/{TOKEN}/file/{video}")
        connection.sock.close()
    assert films.ask(f"file/{video}", "HEAD").status == 200
    end_s = time.monotonic() + 60
    while path in open_files():
        assert time.monotonic() < end_s
        gc.collect()
        time.sleep(0.1)


def open_files() -> set[str]:
    """Paths of the files that this process has open; empty where the system does not list them."""
    found = set()
    for handle in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            found.add(os.readlink(handle))
    return found
