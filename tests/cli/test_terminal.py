"""Output on any terminal: names are only text, no encoding fails, a closed pipe is no error."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.terminals import (
    BROKEN,
    CLIPS,
    FLAGS,
    HEALTHY,
    make_dataset,
    run,
    run_on_terminal,
    run_without_reader,
)
from tests.cli.test_commands import COMMANDS
from vfeat.cli.app import app
from vfeat.cli.terminal import OUTPUT_CLOSED, command_line

CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")
COLOUR_OR_STYLE = re.compile(rb"\x1b\[[0-9;]*m")
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("names"))


def test_names_are_shown_whole_and_are_only_text(out: Path) -> None:
    status, show = run("status", out, "--videos", "99"), run("show", out)
    errors, verify = run("errors", out), run("verify", out)
    for result in (status, show, errors, verify):
        assert result.returncode == 0, result.stderr
        assert not CONTROL.search(result.stdout), result.stdout
        assert not result.stderr
    for shown in HEALTHY.values():
        assert shown in status.stdout.decode()
        assert shown in show.stdout.decode()
    for shown in BROKEN.values():
        assert shown in status.stdout.decode()
        assert shown in errors.stdout.decode()
    assert str(out) in status.stdout.decode()


def test_a_terminal_gets_no_control_codes_of_names(out: Path) -> None:
    for arguments in (("status", out, "--videos", "99"), ("show", out), ("errors", out)):
        code, written = run_on_terminal(*arguments)
        assert code == 0, written
        plain = COLOUR_OR_STYLE.sub(b"", written).replace(b"\r\n", b"\n")
        assert not CONTROL.search(plain), plain
        assert b"\x1b[31m" not in written  # the name's own; rich's red is \x1b[31m only in doctor


def test_a_run_shows_its_names_as_text(out: Path, tmp_path: Path) -> None:
    source = tmp_path / "[eng]\x1b[2J"
    source.mkdir()
    shutil.copy(CLIPS / "one_frame.mp4", source / "a.mp4")
    made = tmp_path / "[out]"
    code, written = run_on_terminal("extract", source, "--out", made, *FLAGS)
    assert code == 0, written
    assert b"\x1b[2J" not in written
    assert str(made).encode() in written
    again = run("extract", source, "--out", made, *FLAGS)
    assert str(made) in again.stdout.decode()
    preview = run("extract", source, "--out", made, *FLAGS, "--dry-run")
    assert str(made) in preview.stdout.decode()


def test_an_error_is_one_line_whatever_the_name_holds() -> None:
    result = run("status", "/no/such\n\x1b[2J [bold]place")
    assert result.returncode == 2
    assert result.stderr.count(b"\n") == 1
    assert rb"/no/such\n\x1b[2J [bold]place" in result.stderr


@pytest.mark.parametrize("name", ENCODINGS)
def test_no_encoding_fails(out: Path, name: str) -> None:
    encoding = "latin-1" if name == "latin-1" else "ascii"
    video = out.parents[2] / "videos"
    commands: list[tuple[str | Path, ...]] = [
        ("errors", out),
        ("status", out, "--videos", "99"),
        ("show", out),
        ("extract", video, "--out", out.parents[2] / "other", *FLAGS, "--dry-run"),
        ("extract", "--help"),
    ]
    if name == "ascii":
        commands.append(("doctor",))
    for arguments in commands:
        result = run(*arguments, **ENCODINGS[name])
        assert result.returncode in ((0, 4) if arguments[0] == "doctor" else (0,)), result.stderr
        text = result.stdout.decode(encoding)
        assert b"Traceback" not in result.stderr
        assert not set(text) & set("━┏│─…✓·–"), "characters that this terminal cannot draw"
    refused = run("status", "/nö/映像", **ENCODINGS[name])
    assert refused.returncode == 2
    assert b"Traceback" not in refused.stderr
    refused.stderr.decode(encoding)


def test_names_are_escaped_where_they_cannot_be_encoded(out: Path) -> None:
    for flags in (ENCODINGS["ascii"], ENCODINGS["latin-1"]):
        lines = run("show", out, **flags).stdout.splitlines()
        assert any(rb"\u6620\u50cf" in line for line in lines)
        boxed = [line for line in lines if line.startswith(b"|")]
        assert len({len(line) for line in boxed}) == 1, "columns are as wide as what is written"


@pytest.mark.parametrize("command", ["errors", "status", "show", "verify"])
def test_json_is_the_same_on_every_terminal(out: Path, command: str) -> None:
    expected = json.loads(run(command, out, "--json").stdout)
    for flags in ENCODINGS.values():
        result = run(command, out, "--json", **flags)
        assert json.loads(result.stdout.decode("latin-1")) == expected
        assert not CONTROL.search(result.stdout)


def test_help_is_ascii() -> None:
    for command in ["", *COMMANDS]:
        text = CliRunner().invoke(app, [*command.split(), "--help"]).output
        assert text.isascii(), [c for c in text if not c.isascii()]


def test_a_closed_pipe_is_no_error(out: Path) -> None:
    commands = (["show", out], ["errors", out, "--json"], ["schema", "job"], ["status", out])
    for arguments in commands:
        result = run_without_reader("stdout", *arguments)
        assert result.returncode == OUTPUT_CLOSED
        assert result.stderr == b""


def test_work_goes_on_when_nobody_reads_its_notes(tmp_path: Path) -> None:
    arguments = ["extract", CLIPS / "one_frame.mp4", "--out", tmp_path / "out", *FLAGS, "--json"]
    result = run_without_reader("stderr", *arguments)
    assert result.returncode == 0
    assert json.loads(result.stdout)["totals"]["rows"] == 1


def test_without_colours_there_are_none(out: Path) -> None:
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        for arguments in (("status", out, "--videos", "9"), ("errors", out), ("doctor",)):
            _, written = run_on_terminal(*arguments, **variables)
            assert b"\x1b" not in written
    assert b"\x1b" in run_on_terminal("status", out)[1], "a terminal with colours has some"


def test_bars_are_drawn_on_terminals_only(tmp_path: Path) -> None:
    arguments = ["extract", CLIPS / "one_frame.mp4", *FLAGS, "--out"]
    assert b"\x1b[2K" in run_on_terminal(*arguments, tmp_path / "a")[1]
    assert b"\x1b" not in run_on_terminal(*arguments, tmp_path / "b", TERM="dumb")[1]
    bare = run_on_terminal(*arguments, tmp_path / "c", NO_COLOR="1")[1]
    assert not COLOUR_OR_STYLE.search(bare)
    assert b"\x1b" not in run(*arguments, tmp_path / "d").stderr


def test_narrow_terminals_show_everything(out: Path) -> None:
    for arguments in (
        ("status", out, "--videos", "9"),
        ("show", out),
        ("errors", out),
        ("models",),
    ):
        result = run(*arguments, COLUMNS="20")
        assert result.returncode == 0, result.stderr
        assert run_on_terminal(*arguments, columns=20)[0] == 0


def test_videos_of_all_plans_are_listed(tmp_path: Path) -> None:
    source, out = tmp_path / "videos", tmp_path / "out"
    source.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        shutil.copy(CLIPS / "one_frame.mp4", source / name)
        assert run("extract", source, "--out", out, *FLAGS).returncode == 0
    assert len(list((out / "plans").iterdir())) == 3
    for limit, listed in ((2, "ab"), (3, "abc"), (9, "abc")):
        text = run("status", out, "--videos", str(limit)).stdout.decode()
        assert re.findall(r"(\w)\.mp4", text) == list(listed)


@pytest.mark.parametrize("name", [*HEALTHY, *BROKEN, b"it's\t$HOME `x`"])
def test_a_shell_reads_the_shown_command_back(name: bytes) -> None:
    arguments = ["extract", os.fsdecode(name), "--out", "x y"]
    shown = command_line(*arguments)
    assert shown.isprintable()
    script = "vfeat() { printf '%s\\0' \"$@\"; }; " + shown
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert found.split(b"\0")[:-1] == [os.fsencode(a) for a in arguments]
