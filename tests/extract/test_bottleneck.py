"""The slowest resource of real runs: each made slow in turn, and named by its run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema

from tests.clipmaker.encode import Coding, write_clip
from tests.clipmaker.scenes import pan_right
from tests.engine.jobs import tiny_job
from tests.s3.proxy import Proxy
from vfeat.engine.bottleneck import Bottleneck
from vfeat.engine.summary import RunSummary
from vfeat.engine.watch import Watch
from vfeat.extract.run import ExtractRun
from vfeat.report.page import verdict
from vfeat.report.runs import read_runs
from vfeat.schema import published_schemas
from vfeat.storage.root import Root
from vfeat.tables.status import dataset_status

DATASETS = Path(__file__).parents[1] / "datasets"
SCHEMA = json.loads(published_schemas()["run"])


def limit_of(summary: RunSummary, out: Path | str) -> Bottleneck:
    """Check what holds for every run; return its record, which `runs/` and `status` have, too."""
    limit = summary.bottleneck
    assert limit is not None
    [name] = [name for name in Root(str(out)).list("runs") if name == f"{summary.run}.json"]
    stored: dict[str, Any] = json.loads(Root(str(out)).read_bytes(f"runs/{name}"))
    jsonschema.validate(stored, SCHEMA)
    assert stored["bottleneck"]["resource"] == limit.resource
    assert stored["bottleneck"]["shares"] == limit.shares
    found = dataset_status(str(out))
    assert (found.slowest, found.advice) == (limit.sentence, limit.advice)
    assert limit.sentence in verdict(read_runs(Root(str(out)))[1][-1])
    shares = limit.shares
    assert 0 < summary.run_s <= summary.wall_s
    assert shares["storage"] + shares["decode"] + limit.blocked <= 1 + 1e-9
    assert shares["hand-over"] + shares["model"] <= 1 + 1e-9
    assert limit.computed > 0 and limit.device == "cpu" and limit.decoders == 1
    return limit


def copies(video: Path, folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        shutil.copy(video, folder / f"{number}.mp4")
    return folder


class SlowStore(Watch):
    """A store that is slow while workers work."""

    def __init__(self, proxy: Proxy, *, piece_s: float = 0.0, shard_s: float = 0.0) -> None:
        self.proxy, self.slow = proxy, (piece_s, shard_s)

    def phase(self, name: str) -> None:
        works = name == "starting"
        self.proxy.piece_s, self.proxy.shard_s = self.slow if works else (0.0, 0.0)


def test_a_store_that_is_slow_to_read_is_named(
    own_clips: Path, tmp_path: Path, bucket: str, proxy: Proxy
) -> None:
    for number in range(3):
        Root(f"{bucket}/in").create_file(f"{number}.mp4", own_clips / "cfr25_bframes.mp4")
    out = tmp_path / "out"
    summary = ExtractRun(tiny_job(out, f"{bucket}/in"), SlowStore(proxy, piece_s=0.8)).run()
    limit = limit_of(summary, out)
    assert (limit.resource, limit.is_clear) == ("storage", True)
    assert "--decode-workers" in limit.advice
    assert summary.read_s > 3 * 0.8


def test_a_store_that_is_slow_to_write_is_named(
    own_clips: Path, tmp_path: Path, bucket: str, proxy: Proxy
) -> None:
    folder = copies(own_clips / "cfr25_bframes.mp4", tmp_path / "in", 1)
    out = f"{bucket}/out"
    limit = limit_of(ExtractRun(tiny_job(out, folder), SlowStore(proxy, shard_s=6.0)).run(), out)
    assert limit.resource == "write"
    assert limit.shares["storage"] < 0.5


def test_heavy_decoding_is_named(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    pictures = list(pan_right(1280, 720, 50))
    write_clip(video, pictures, list(range(51)), Coding())
    job = tiny_job(tmp_path / "out", copies(video, tmp_path / "in", 4), num_frames=25)
    limit = limit_of(ExtractRun(job, Watch()).run(), tmp_path / "out")
    assert limit.resource == "decode"


def test_a_heavy_model_is_named(own_clips: Path, tmp_path: Path) -> None:
    folder = copies(own_clips / "cfr25_bframes.mp4", tmp_path / "in", 4)
    job = tiny_job(
        tmp_path / "out", folder, size=224, model_options={"embed_dim": 192, "depth": 24}
    )
    limit = limit_of(ExtractRun(job, Watch()).run(), tmp_path / "out")
    assert (limit.resource, limit.is_clear) == ("model", True)
    assert limit.computed == limit.share


def test_a_run_of_an_earlier_version_has_none_and_is_read() -> None:
    """`status`, a report and the schema take a summary without the record."""
    folders = sorted(DATASETS.glob("*/features"))
    assert folders
    for folder in folders:
        found = dataset_status(str(folder))
        assert found.last_run and found.slowest is None and found.advice is None
        _, [run] = read_runs(Root(str(folder)))
        assert run.slowest == "" and run.spent["reading"] == 0 and run.spent["model"] > 0
        [path] = (folder / "runs").glob("*.json")
        jsonschema.validate(json.loads(path.read_text()), SCHEMA)
