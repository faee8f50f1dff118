"""Every command has help, is in the README, and ends with the right code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.engine.commands import REPOSITORY, TINY_FLAGS, run
from vfeat.cli.app import app
from vfeat.job.kinds import KINDS
from vfeat.job.load import load_job, load_jobs
from vfeat.job.spec import parse_job
from vfeat.schema import published_schemas

COMMANDS = [c.name for c in app.registered_commands if c.name]
COMMANDS += [
    f"{group.name} {command.name}"
    for group in app.registered_groups
    for command in (group.typer_instance.registered_commands if group.typer_instance else ())
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_documented(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.returncode == 0
    assert "Usage: vfeat" in result.stdout
    readme = (REPOSITORY / "README.md").read_text()
    assert f"vfeat {command}" in readme, f"README.md does not mention `vfeat {command}`"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['vfeat', '--help']\nfrom vfeat.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'pyarrow', 'av', 'cv2', 'numpy', 'pydantic', 'fsspec'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr.strip() == "[]"


def test_json_is_alone_on_stdout(own_clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = [*TINY_FLAGS, "--executor", "inline"]
    video = own_clips / "cfr25_bframes.mp4"
    plan = json.loads(run("extract", video, "--out", out, *flags, "--dry-run", "--json").stdout)
    assert plan["videos"] == 1 and plan["clips"] > 0 and plan["basis"]
    result = run("extract", video, "--out", out, *flags, "--json")
    assert json.loads(result.stdout)["totals"]["rows"] == plan["clips"]
    status = json.loads(run("status", out, "--json").stdout)
    assert status["videos"] == {"complete": 1} and status["untrained"] is True
    assert json.loads(run("verify", out, "--json").stdout)["ok"] is True
    assert json.loads(run("errors", out, "--json").stdout) == []
    listed = [model["name"] for model in json.loads(run("models", "--json").stdout)]
    assert {"videomamba_tiny", "videomamba_motion"} <= set(listed)
    assert all(
        {"state", "what", "found"} <= set(f) for f in json.loads(run("doctor", "--json").stdout)
    )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["extract", "/no/such/folder", "--out", "OUT", "--weights", "random"],
            2,
            "/no/such/folder",
        ),
        (["extract", ".", "--out", "OUT", "--model", "videomamba_tiny"], 4, "needs weights"),
        (["extract", ".", "--out", "OUT", "--weights", "random", "--labels", "k7"], 4, "k7: there"),
        (["extract", ".", "--out", "OUT", "--weights", "random", "--labels", "ssv2"], 2, "174"),
        (["extract", ".", "--out", "OUT", "--clip-seconds", "-1"], 2, "clip_seconds"),
        (["extract", ".", "--out", "OUT", "--model-option", "depth=x"], 2, "depth=x"),
        (["extract", ".", "--out", "OUT", "--no-such-flag"], 2, "--no-such-flag"),
        (["run", "no-such-job.yaml"], 2, "no-such-job.yaml"),
        (["status", "/no/such/dataset"], 2, "/no/such/dataset"),
        (["verify", "/no/such/dataset"], 2, "/no/such/dataset"),
        (["errors", "/no/such/dataset"], 2, "/no/such/dataset"),
        (["schema", "nothing"], 2, "nothing"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    result = run(*(str(tmp_path / "out") if a == "OUT" else a for a in arguments))
    assert result.returncode == code, result.stderr
    assert sentence in result.stderr and "Traceback" not in result.stderr


def test_a_job_file_and_the_same_flags_are_the_same_job(own_clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"sources": ["a"], "out": "o", "num_frames": 4}))
    job = load_job(str(path), ("num_frames=16", "model_options={depth: 2}"))
    assert job == parse_job(
        {"sources": ["a"], "out": "o", "num_frames": 16, "model_options": {"depth": 2}}
    )


def test_every_job_file_of_the_repository_is_valid() -> None:
    schema = json.loads(published_schemas()["job"])
    files = sorted((REPOSITORY / "jobs").glob("*.yaml"))
    contents = {f: yaml.safe_load(f.read_text()) for f in files}
    own = {name for name, kind in KINDS.items() if kind.job.startswith("vfeat.")}
    kinds, several = [], []
    for path, content in contents.items():
        if "jobs" not in content and content.get("kind") not in KINDS:
            continue  # of another tool
        jsonschema.validate(content, schema)
        jobs = load_jobs(str(path))
        kinds += [named.job.kind for named in jobs]
        several += [path.name] if len(jobs) > 1 else []
    assert len(kinds) >= 4 and set(kinds) == own
    assert several == ["nightly.yaml"]


def test_the_schema_refuses_what_is_no_job_in_a_file_of_several() -> None:
    schema = json.loads(published_schemas()["job"])
    extract = {"kind": "extract", "sources": ["a"], "out": "o"}
    jsonschema.validate({"jobs": [extract]}, schema)
    for wrong in ({"jobs": []}, {"jobs": [{**extract, "siz": 3}]}, {"jobs": [extract], "out": "o"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_an_unknown_field_names_the_nearest_one(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("sources: [a]\nout: o\nnum_frame: 4\n")
    result = run("run", path)
    assert result.returncode == 2
    assert "num_frame: unknown field; did you mean 'num_frames'?" in result.stderr


def test_schemas_in_the_repository_are_the_code() -> None:
    for name, content in published_schemas().items():
        kept = (REPOSITORY / "schemas" / f"{name}.schema.json").read_text()
        assert kept == content, f"schemas/{name}.schema.json is stale: run `make schemas`"


def test_readme_commands_parse() -> None:
    """Every flag that the README shows exists."""
    readme = (REPOSITORY / "README.md").read_text()
    known = {
        flag
        for command in COMMANDS
        for flag in re.findall(r"--[a-z][a-z-]+", run(*command.split(), "--help").stdout)
    }
    lines = [line for line in readme.splitlines() if line.strip().startswith("vfeat ")]
    for line in lines:
        for flag in re.findall(r"(?<= )--[a-z][a-z-]+", line):
            assert flag in known, line
