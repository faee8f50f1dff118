"""`vfeat browse --labels`: what is written, by whom, and what is never lost."""

from __future__ import annotations

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import make_dataset
from tests.browse.served import TOKEN, Answer, Served, serving
from tests.engine.commands import run
from tests.engine.jobs import tiny_job, tree
from tests.train.head.jobs import head_job
from vfeat.browse.corrections import Corrections
from vfeat.browse.label_file import LabelFile, Part, parse
from vfeat.engine.watch import Watch
from vfeat.errors import JobError
from vfeat.extract.run import ExtractRun
from vfeat.storage.root import Root
from vfeat.train.encoder.data.clip_list import read_listing
from vfeat.train.head.run import train_heads

DEMO = Path(__file__).parents[2] / "jobs" / "demo_clips"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("made"), 30)


def give(served: Served, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    asked = {"scope": "clip", "t": 0.5, **fields}
    plain = {"Origin": f"http://127.0.0.1:{served.port}", "Content-Type": "application/json"}
    found = {k: v for k, v in {**plain, **(headers or {})}.items() if v}
    return served.ask("api/labels", "POST", found, json.dumps(asked).encode())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_without_a_file_nothing_takes_labels(made: Path) -> None:
    with serving(str(made)) as served:
        video = served.json("api/videos")["videos"][0]["video"]
        assert give(served, video=video, label="x").status in (404, 405)
        assert served.ask("api/labels").status == 404
        assert served.json("api/dataset")["takes_labels"] is False


def test_a_label_is_written_replaced_and_taken_away(made: Path, tmp_path: Path) -> None:
    path, before = tmp_path / "labels.csv", tree(made)
    with serving(str(made), labels=str(path)) as served:
        video = served.json("api/videos")["videos"][0]["video"]
        assert not path.exists() and served.json("api/labels")["total"] == 0
        uri = served.opened.videos.get(video).uri
        first = give(served, video=video, label=" pan, left ").json
        assert (first["given"], first["given_whole"], first["total"]) == ("pan, left", None, 1)
        give(served, video=video, label="zoom")
        give(served, video=video, t=1.2, label="pan")
        give(served, video=video, scope="video", label="film")
        assert path.read_text() == (
            f"uri,start_s,end_s,label\n{uri},0.0,1.0,zoom\n{uri},1.0,2.0,pan\n{uri},,,film\n"
        )
        shown = served.json(f"api/search?like={video}&t=0.5&k=1")["hits"][0]
        assert (shown["given"], shown["given_whole"]) == ("zoom", "film")
        assert give(served, video=video, label="").json["total"] == 2
        assert [row["label"] for row in rows(path)] == ["pan", "film"]
    assert tree(made) == before
    assert [p.name for p in tmp_path.iterdir()] == ["labels.csv"]


def test_a_label_is_taken_from_the_page_alone(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with serving(str(made), labels=str(path)) as served:
        video = served.json("api/videos")["videos"][0]["video"]
        port = served.port
        for headers, status in (
            ({"Origin": ""}, 403), ({"Origin": "null"}, 403),
            ({"Origin": "https://evil.example"}, 403), ({"Origin": "http://127.0.0.1:1"}, 403),
            ({"Origin": f"http://localhost:{port}"}, 403), ({"Content-Type": "text/plain"}, 415),
            ({"Host": "evil.example"}, 403),
        ):  # fmt: skip
            assert give(served, headers, video=video, label="x").status == status, headers
        origin = {"Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json"}
        body = json.dumps({"video": video, "t": 0.5, "scope": "clip", "label": "x"}).encode()
        assert served.ask("api/labels", "POST", origin, body, token=TOKEN + "x").status == 403
        for fields, status in (
            ({"video": "0" * 32}, 404), ({"video": "../../etc/passwd"}, 404), ({"t": 99999}, 404),
            ({"t": "0"}, 400), ({"scope": "all"}, 400), ({"label": 3}, 400), ({"more": 1}, 400),
            ({"label": "two\nlines"}, 400), ({"label": "x" * 201}, 400), ({"t": -1}, 400),
        ):  # fmt: skip
            answer = give(served, **{"video": video, "label": "x", **fields})
            assert answer.status == status, (fields, answer.body)
        assert give(served, video=video, label="x" * 20_000).status == 413
        assert not path.exists()
        assert give(served, video=video, label="x").status == 200


def test_two_servers_on_one_file_lose_no_line(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with (
        serving(str(made), labels=str(path)) as one,
        serving(str(made), labels=str(path)) as other,
    ):
        videos = [v["video"] for v in one.json("api/videos")["videos"]]
        asked = [(served, v) for v in videos for served in (one, other)]

        def label(place: int) -> int:
            served, video = asked[place]
            return give(served, video=video, t=0.5 + place % 2, label=f"l{place}").status

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(label, range(len(asked)))) == {200}
        assert sorted(row["label"] for row in rows(path)) == sorted(f"l{n}" for n in range(60))
        assert one.json("api/labels")["total"] == other.json("api/labels")["total"] == 60


@pytest.mark.parametrize(
    "content",
    ["name,age\nx,3\n", "uri,label,mood\na,b,c\n", "uri,label\na\n", "uri,label,label\n",
     "uri,start_s,label\na,soon,x\n", "uri,label\n,x\n", "\x00\x01", 'uri,label\n"a,b\n'],
)  # fmt: skip
def test_a_foreign_file_is_refused_and_stays(content: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(JobError, match=r"labels\.csv"):
        Corrections(str(path), Root(str(tmp_path / "out")))
    mine = Corrections(str(tmp_path / "new.csv"), Root(str(tmp_path / "out")))
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(JobError, match=r"new\.csv"):
        mine.give(Part("a"), "x")
    assert path.read_text() == (tmp_path / "new.csv").read_text() == content


def test_lines_of_others_stay_as_they_are() -> None:
    text = 'uri,label,split\ns3://b/a.mp4,x,val\n"b,""c.mp4",y,test\n'
    file = parse(text, "labels.csv").with_label(Part("s3://b/a.mp4"), "z")
    file = file.with_label(Part("s3://b/a.mp4", 1.5, 2.1), "w").with_label(Part("new"), "v")
    assert file.text() == (
        'uri,start_s,end_s,label,split\ns3://b/a.mp4,,,z,val\n"b,""c.mp4",,,y,test\n'
        "s3://b/a.mp4,1.5,2.1,w,val\nnew,,,v,train\n"
    )
    assert parse(file.text(), "labels.csv") == file
    assert parse("", "labels.csv") == LabelFile({})


def test_a_file_is_named_where_it_may_be(made: Path, tmp_path: Path) -> None:
    for name, words in (
        ("s3://bucket/labels.csv", "this machine"),
        (str(tmp_path / "none" / "labels.csv"), "no folder"),
    ):
        with pytest.raises(JobError, match=words):
            Corrections(name, Root(str(made)))
    ended = run("browse", made, "--labels", made / "labels.csv")
    assert ended.returncode == 2 and "in the dataset" in ended.stderr, ended.stderr


def test_search_thirty_corrections_train_classify(tmp_path: Path) -> None:
    """The loop of docs/guide/correcting.md, over HTTP, with the clips of the demo."""
    videos, path = tmp_path / "videos", tmp_path / "labels.csv"
    videos.mkdir()
    truth = {"pan_right": "moves", "zoom_in": "moves", "slideshow": "stands"}
    for name in truth:
        for copy in range(5):
            shutil.copy(DEMO / f"{name}.mp4", videos / f"{name}_{copy}.mp4")
    stage = ExtractRun(tiny_job(tmp_path / "features", videos), Watch())
    try:
        assert stage.run().exit_code == 0
    finally:
        stage.close()
    with serving(str(tmp_path / "features"), labels=str(path)) as served:
        start = served.json("api/videos")["videos"][0]["video"]
        hits = served.json(f"api/search?like={start}&t=0.5&k=200")["hits"]
        given = 0
        for name, label in truth.items():
            for hit in [h for h in hits if h["name"].startswith(name)]:
                by_video = sum(row["uri"] == hit["uri"] for row in rows(path)) if given else 0
                if by_video < 2:
                    answer = give(served, video=hit["video"], t=hit["start_s"] + 0.1, label=label)
                    assert answer.status == 200, answer.body
                    given += 1
    assert given == len(rows(path)) == 30
    fields = {"labels": str(path), "tasks": {"label": "classification"}, "d_model": 8,
              "n_layers": 1, "epochs": 2, "batch_size": 8}  # fmt: skip
    train_heads(head_job(tmp_path / "features", tmp_path / "head", **fields))
    ended = run("classify", tmp_path / "features", "--head", tmp_path / "head", "--out",
                tmp_path / "predictions", "--device", "cpu", "--executor", "inline")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    with serving(str(tmp_path / "features")) as served:
        lines = served.json(f"api/video/{start}")["lines"]
    [whole] = [line["whole"] for line in lines if line["name"].startswith("predictions")]
    assert {one["label"] for one in whole} == {"moves", "stands"}
    listing = read_listing(str(path), 0)  # and an encoder learns from the same file
    assert sum(len(samples) for samples in listing.splits.values()) == 30
    assert all(s.end_s is not None for s in listing.splits["train"])
