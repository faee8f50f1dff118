"""No password and no signature stays anywhere: they are planted, and every byte is searched."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.guarded_web import GuardedWeb, serve
from tests.engine.commands import TINY_FLAGS, run, summary
from tests.engine.jobs import verified
from vfeat.models import create_model

USER, SIGNED, LIST, WEIGHTS, REFUSED, NAMES = (
    f"PLANTED{name}SECRET" for name in ("User", "Signed", "List", "Weights", "Refused", "Names")
)


@pytest.fixture
def web(own_clips: Path, tmp_path: Path) -> Iterator[GuardedWeb]:
    folder = tmp_path / "served"
    for part in ("v", "private/folder", "model"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        shutil.copy(own_clips / "cfr25_faststart.mp4", folder / "v" / f"signed{number}.mp4")
    shutil.copy(own_clips / "web_page.mp4", folder / "v" / "no_video.mp4")
    shutil.copy(own_clips / "cfr25_faststart.mp4", folder / "v" / "refused.mp4")
    shutil.copy(own_clips / "vp9.webm", folder / "private" / "folder" / "mine.webm")
    with serve(folder) as served:
        served.signatures = {SIGNED, LIST, WEIGHTS, NAMES}
        served.users = {f"me:{USER}"}
        yield served


def write_list(path: Path, addresses: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["uri"], *([address] for address in addresses)])
    return path


def save_weights(path: Path) -> None:
    from safetensors.torch import save_file

    model = create_model(
        "videomamba", weights="random", img_size=32, num_frames=4, embed_dim=16, depth=1
    )
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def assert_none_left(where: Path) -> None:
    """Search every file, and what Parquet has compressed, too."""
    looked = 0
    for path in where.rglob("*"):
        if not path.is_file():
            continue
        looked += 1
        content = [path.name.encode(), path.read_bytes()]
        if path.suffix == ".parquet":
            content += [repr(pq.read_table(path).to_pydict()).encode()]
        for text in content:
            assert b"PLANTED" not in text, f"{path}: {text[text.index(b'PLANTED') - 200 :][:300]!r}"
    assert looked > 3


def uris_of(out: Path) -> set[str]:
    rows = pq.read_table(out / "features", columns=["uri"]).column("uri").to_pylist()
    return {uri.rpartition("/")[2] for uri in rows}


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_planted_secrets_are_used_and_left_nowhere(
    web: GuardedWeb, tmp_path: Path, executor: str
) -> None:
    videos = [web.signed(f"v/signed{n}.mp4", SIGNED) for n in range(3)]
    others = [web.signed("v/no_video.mp4", SIGNED), web.signed("v/refused.mp4", REFUSED)]
    # a row with size and etag is not looked at before a worker reads it
    later = web.signed("v/refused.mp4", f"{REFUSED}later").replace("refused", "%72efused")
    path = write_list(web.folder / "list.csv", [*videos, *others])
    known = write_list(tmp_path / "known.csv", [])
    known.write_text(f"uri,size_bytes,etag\n{later},1000,abc\n")
    save_weights(web.folder / "model" / "w.safetensors")
    (web.folder / "model" / "names.txt").write_text("\n".join(map(str, range(400))))
    out = tmp_path / "out"
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as logs:  # short, for Ray's sockets
        result = run(
            "extract", web.of_user("folder/mine.webm", f"me:{USER}"), web.signed(path.name, LIST), known,
            "--out", out, "--executor", executor, "--json", *TINY_FLAGS,
            "--weights", web.signed("model/w.safetensors", WEIGHTS),
            "--labels", web.signed("model/names.txt", NAMES),
            "--storage-patience-seconds", "1", RAY_TMPDIR=logs,
        )  # fmt: skip
        assert result.returncode == 3, result.stderr
        if executor == "ray":
            assert list(Path(logs).rglob("raylet.out"))
            assert_none_left(Path(logs))
    # all that could be read was read, by the full address
    assert uris_of(out) == {"signed0.mp4", "signed1.mp4", "signed2.mp4", "mine.webm"}
    assert summary(result)["errors"] == {"storage": 2, "unreadable": 1}
    assert "/v/refused.mp4" in web.refused
    verified(out)
    assert_none_left(out)
    for command in ("errors", "status", "show", "verify"):
        shown = run(command, out)
        assert "PLANTED" not in shown.stdout + shown.stderr
    assert "PLANTED" not in result.stdout + result.stderr
    messages = pq.read_table(out / "errors.parquet").column("message").to_pylist()
    assert all(f"http://{web.host}/v/" in message for message in messages), messages
