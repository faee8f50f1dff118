"""The options of the commands are the fields of their jobs, written once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from vfeat.cli import classify, extract, importing, train, train_encoder, train_retrieval
from vfeat.cli.app import app
from vfeat.cli.job_command import OTHER, JobCommand
from vfeat.job.flag import GROUPS, Flag
from vfeat.job.kinds import KINDS, load

COMMANDS: dict[str, JobCommand] = {
    "extract": extract.COMMAND,
    "classify": classify.COMMAND,
    "import": importing.COMMAND,
    "train head": train.COMMAND,
    "train encoder": train_encoder.COMMAND,
    "train retrieval": train_retrieval.COMMAND,
}
# Options that are no field of a job.
OWN = {
    "extract": {"dry_run", "json_output"},
    "classify": {"dry_run", "json_output"},
    "import": {"dry_run", "json_output"},
    "train head": {"json_output"},
    "train encoder": {"set_", "dry_run", "json_output"},
    "train retrieval": {"set_", "dry_run", "json_output"},
}
# The field of each command's positional argument.
ARGUMENT = {
    "extract": "sources",
    "classify": "features",
    "import": "sources",
    "train head": "features",
    "train encoder": "source",
    "train retrieval": "source",
}
# Other required values of a job, as words and as fields.
REQUIRED = {"import": ("--name", "n", "--step-seconds", "1")}
REQUIRED_FIELDS = {"import": {"name", "step_seconds"}}
every_command = pytest.mark.parametrize("name", COMMANDS)


def model_of(name: str) -> type[BaseModel]:
    model: type[BaseModel] = load(KINDS[COMMANDS[name].kind].job)
    return model


def help_of(name: str) -> str:
    """Text of the help on a terminal so wide that nothing is wrapped."""
    runner = CliRunner()
    return runner.invoke(app, [*name.split(), "--help"], terminal_width=1000).output


def given(name: str, *words: str) -> dict[str, Any]:
    """Fields that a command line gives to the job."""
    found: dict[str, Any] = {}
    command = COMMANDS[name]

    def keep(fields: dict[str, Any]) -> None:
        found.update(fields)

    kept = JobCommand(command.kind, keep, command.readers, command.from_file)
    probe = typer.Typer(add_completion=False)
    kept.add_to(probe, "probe")
    result = CliRunner().invoke(probe, ["a", "--out", "o", *REQUIRED.get(name, ()), *words])
    assert result.exit_code == 0, result.output
    return found


def test_every_kind_of_job_has_a_command() -> None:
    own = {name for name, kind in KINDS.items() if kind.job.startswith("vfeat.")}
    assert {command.kind for command in COMMANDS.values()} == own


@every_command
def test_every_field_is_an_option_and_the_reverse(name: str) -> None:
    options = {param.name for param in COMMANDS[name].build().params}
    assert options == (set(model_of(name).model_fields) - {"kind"}) | OWN[name]


@every_command
def test_every_field_is_marked_and_described(name: str) -> None:
    for field, info in model_of(name).model_fields.items():
        if field == "kind":
            continue
        (flag,) = (extra for extra in info.metadata if isinstance(extra, Flag))
        assert flag.group in {group.group for group in GROUPS}, field
        assert info.description and not info.description.endswith("."), field


@every_command
def test_a_flag_is_spelled_like_its_field_or_as_the_field_states(name: str) -> None:
    for param in COMMANDS[name].build().params:
        info = model_of(name).model_fields.get(param.name)
        if info is None or param.param_type_name == "argument":
            continue
        (flag,) = (extra for extra in info.metadata if isinstance(extra, Flag))
        dashed = param.name.replace("_", "-")
        spelling = flag.spelling or f"--{dashed}"
        assert param.opts == [spelling.partition("/")[0]]
        if info.annotation in (bool, bool | None) and info.default is not False:
            assert param.secondary_opts == [f"--no-{dashed}"]


@every_command
def test_the_help_of_an_option_names_its_default(name: str) -> None:
    for param in COMMANDS[name].build().params:
        info = model_of(name).model_fields.get(param.name)
        if info is None or info.is_required() or param.param_type_name == "argument":
            continue
        assert re.search(r"default:? ", param.help, re.IGNORECASE), param.help
        if isinstance(info.default, int | float | str) and not isinstance(info.default, bool):
            shown = re.search(r"default: ([^;\]]+)", param.help.rpartition("[")[2])
            assert shown is not None, param.help
            assert type(info.default)(shown[1]) == info.default


@every_command
def test_the_help_of_an_option_names_its_range_and_choices(name: str) -> None:
    text = help_of(name)
    for param in COMMANDS[name].build().params:
        info = model_of(name).model_fields.get(param.name)
        if info is None:
            continue
        facts = param.help.rpartition("[")[2]
        for extra in info.metadata:
            for bound in {"ge", "gt", "le", "lt"} & set(dir(extra)):
                assert f" {getattr(extra, bound)}" in facts, param.help
        if get_origin(info.annotation) is Literal:
            choices = "|".join(map(str, get_args(info.annotation)))
            assert f"  {param.opts[0]} {choices}" in text


@every_command
def test_the_groups_of_the_help_come_in_order(name: str) -> None:
    order = [group.group for group in GROUPS] + [OTHER]
    headings = re.findall(r"^(\S.*):$", help_of(name), re.MULTILINE)
    assert headings == [heading for heading in order if heading in headings]
    assert headings[0] == "Source and output" and headings[-1] == OTHER


@every_command
def test_what_is_not_given_is_left_to_the_job(name: str) -> None:
    assert given(name).keys() == {"out", ARGUMENT[name], *REQUIRED_FIELDS.get(name, ())}


@pytest.mark.parametrize(
    ("name", "words", "field", "value"),
    [
        ("extract", ["--top-k", "0"], "top_k", 0),
        ("extract", ["--no-flips"], "flips", False),
        ("extract", ["--labels", "k400"], "label_names", "k400"),
        ("extract", ["--model-option", "depth=2"], "model_options", {"depth": 2}),
        ("extract", ["--retry-errors", "all"], "retry_errors", ["all"]),
        ("extract", ["--dtype", "float8"], "dtype", "float8"),  # refused by the job, not here
        ("classify", ["--head", "a", "--head", "b"], "heads", ["a", "b"]),
        ("train head", ["--task", "regression"], "tasks", {"label": "regression"}),
        ("train head", ["--task", "a=multilabel"], "tasks", {"a": "multilabel"}),
        ("train head", ["--no-bf16"], "bf16", False),
        ("train encoder", ["--crops", "3"], "crops", 3),
        ("train encoder", ["--no-test-flips"], "test_flips", False),
        (
            "train encoder",
            ["--label-swap", "reverse", "--label-swap", "horizontal:l=r"],
            "label_swaps",
            {"reverse": {}, "horizontal": {"l": "r"}},
        ),
    ],
)
def test_what_is_given_reaches_the_job(
    name: str, words: list[str], field: str, value: object
) -> None:
    assert given(name, *words)[field] == value


def test_a_missing_field_is_named_before_the_job_is_made(tmp_path: Path) -> None:
    for name in ("extract", "classify", "train head"):
        refused = CliRunner().invoke(app, [*name.split(), str(tmp_path)])
        assert refused.exit_code == 2 and "--out" in refused.output
