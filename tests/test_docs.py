"""The documents name the commands, flags, files, tables and printed rows that the code has.

Documents are README.md, CONTRIBUTING.md and everything in docs/.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.engine.commands import run
from vfeat import errors
from vfeat.cli.app import app
from vfeat.cli.interrupt import INTERRUPTED
from vfeat.cli.terminal import OUTPUT_CLOSED
from vfeat.errors import ERROR_CLASSES, VfeatError
from vfeat.tables.schema import COLUMN_NOTES, PREDICTION_NOTES

ROOT = Path(__file__).parents[1]
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
MANUAL = [ROOT / "README.md", *GUIDE]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
RECIPES = "recipes"  # stands beside the package, and may be left out of a copy


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(group: Any, prefix: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every command by the words that follow `vfeat`, groups of commands opened."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        words = (*prefix, name)
        found |= (
            commands(command, words) if hasattr(command, "commands") else {" ".join(words): command}
        )
    return found


def flags(command: Any) -> set[str]:
    """Every spelling of every option of a command."""
    params = command.get_params(command.context_class(command))
    options = (p for p in params if p.param_type_name == "option")
    return set().union(*({*p.opts, *p.secondary_opts} for p in options))


COMMANDS = commands(typer.main.get_command(app))
FLAGS = {name: flags(command) for name, command in COMMANDS.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_manual(name: str) -> None:
    assert any(f"vfeat {name}" in path.read_text() for path in MANUAL), f"vfeat {name}"


def shown_commands(text: str) -> list[str]:
    """Lines of code blocks that call vfeat, continued lines joined."""
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    return [line.strip() for line in blocks.splitlines() if line.strip().startswith("vfeat ")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_shown_commands_and_their_flags_exist(path: Path) -> None:
    for line in shown_commands(path.read_text()):
        words = shlex.split(line, comments=True)[1:]
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in COMMANDS), None)
        assert name is not None, line
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in FLAGS[name], line


@pytest.mark.parametrize("path", MANUAL, ids=relative)
def test_flags_named_in_sentences_exist(path: Path) -> None:
    known = set().union(*FLAGS.values()) | {"--clips", "--dissolves", "--still"}  # the benchmark's
    sentences = FENCE.sub("", path.read_text())
    for code in re.findall(r"`([^`\n]+)`", sentences):
        if not code.startswith("python"):
            for flag in re.findall(r"(?:^|(?<=\s))--[a-z][a-z0-9-]+", code):
                assert flag in known, f"{relative(path)}: {flag}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", path.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), f"{relative(path)} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.M)
            anchors = {
                re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings
            }
            assert anchor in anchors, f"{relative(path)} links to {target}"


def is_left_out(name: str) -> bool:
    """Return whether a path or module belongs to recipes that this copy does not have."""
    return name.startswith(RECIPES) and not (ROOT / RECIPES).exists()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_modules_and_scripts_to_run_exist(path: Path) -> None:
    text = path.read_text()
    for module in re.findall(r"python -m ([a-z_][\w.]*\w)", text):
        place = ROOT / module.replace(".", "/")
        top = module.partition(".")[0]
        if is_left_out(module) or not (ROOT / top).is_dir():  # a tool that is installed
            continue
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
    for script in re.findall(r"python ([a-z_][\w/]*\.py)", text):
        assert (ROOT / script).exists(), script


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_named_files_exist(path: Path) -> None:
    """Paths in backticks, from the root of the repository or from `vfeat/`."""
    for code in re.findall(r"`([^`\s]+)`", path.read_text()):
        base = next(
            (b for b in (ROOT, ROOT / "vfeat") if (b / code.partition("/")[0]).exists()), None
        )
        if base is None or code[0] == "/" or is_left_out(code) or "<" in code or "NAME" in code:
            continue
        for name in expanded(code.rstrip("/")):
            assert list(base.glob(name)), f"{relative(path)} names {code}"


def expanded(name: str) -> list[str]:
    """Names of `a/{b,c}/d`, one for each word in braces."""
    found = re.search(r"\{([^{}]*)\}", name)
    if found is None:
        return [name]
    head, tail = name[: found.start()], name[found.end() :]
    return [full for word in found[1].split(",") for full in expanded(head + word.strip() + tail)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_decisions_that_are_cited_exist(path: Path) -> None:
    for number in re.findall(r"decisions? (\d{4})", path.read_text()):
        assert list((ROOT / "docs" / "decisions").glob(f"{number}-*.md")), number


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("path", GUIDE, ids=relative)
def test_a_heading_stands_on_every_second_screen(path: Path) -> None:
    run_of_lines = 0
    for line in path.read_text().splitlines():
        run_of_lines = 0 if line.startswith("#") else run_of_lines + 1
        assert run_of_lines <= 60, line


def test_every_guide_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [p.name for p in GUIDE if f"(docs/guide/{p.name})" not in readme] == []


def first_column(path: Path, heading: str) -> list[str]:
    """First cells of the table below a heading, without backticks."""
    _, _, section = path.read_text().partition(f"\n## {heading}\n")
    section = section.partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    return [word for row in rows[2:] for word in row.replace("`", "").split(", ")]


def test_exit_codes_and_error_classes_are_those_of_the_code() -> None:
    guide = ROOT / "docs" / "guide" / "errors.md"
    classes = [
        c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, VfeatError)
    ]
    codes = {c.exit_code for c in classes} | {0, 3, INTERRUPTED, OUTPUT_CLOSED}
    assert first_column(guide, "Exit codes") == [str(code) for code in sorted(codes)]
    assert first_column(guide, "Error classes") == list(ERROR_CLASSES)


def test_columns_are_those_of_the_tables() -> None:
    guide = ROOT / "docs" / "guide" / "dataset.md"
    assert first_column(guide, "Columns of features") == list(COLUMN_NOTES)
    section = guide.read_text().partition("\n## Columns of predictions\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)`", section)
    assert sorted(set(named)) == sorted(PREDICTION_NOTES)


def test_figures_of_the_readme_stand_in_the_measurements() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Measured\n")[2].partition("\n## ")[0]
    ratios = [line.split("|")[3].strip() for line in section.splitlines() if line.startswith("|")]
    measured = (ROOT / "docs" / "guide" / "measurements.md").read_text()
    for ratio in ratios[2:]:
        assert ratio.removesuffix(" right") in measured, ratio


@pytest.mark.slow
def test_the_demo_prints_the_rows_of_the_readme(demo_clips: Path, tmp_path: Path) -> None:
    """Labels are those shown; probabilities differ by rounding on other machines."""
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(
        r"│ +(\S*?)(?:, \.\.\.)? +│ +(\d+\.\d+) s │ +[\d.]+ s │ (\w+) (\d+)%", readme
    )
    videos = {name for name, *_ in shown if name}
    assert len(shown) >= 5
    clips = [demo_clips / name for name in sorted(videos)]
    extracted = run("extract", *clips, "--out", tmp_path, "--executor", "inline")
    assert extracted.returncode == 0, extracted.stderr
    rows = json.loads(run("show", tmp_path, "--json").stdout)
    found = {(Path(r["uri"]).name, r["start_s"]): r["labels"][0] for r in rows}
    video = ""
    for name, start_s, label, percent in shown:
        video = name or video
        best = found[video, float(start_s)]
        assert best[0] == label
        assert best[1] == pytest.approx(int(percent) / 100, abs=0.02)
