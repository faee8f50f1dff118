"""Imports go down only, and each third-party library has one owner."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROOT = REPOSITORY / "vfeat"
# Lowest first. A module may import from lower rows, and from its own package.
ROWS = [
    {"addresses"},
    {"errors", "plain_text", "surroundings"},
    {"video_facts"},
    {"outcome"},
    {"job", "kernels", "labels"},
    {"storage", "ops"},
    {"media", "models"},
    {"corpus"},
    {"plan"},
    {"tables"},
    {"sequences"},
    {"search", "export"},
    {"duplicates"},
    {"engine"},
    {"train"},
    {"extract", "classify", "importing"},
    {"schema", "doctor"},
    {"report"},
    {"cli"},
]
OWNERS: dict[str, set[str]] = {
    "fsspec": {"storage"},
    "s3fs": {"storage"},
    "av": {"media"},
    "msgpack": {"media"},
    "cv2": {"media"},
    "skimage": set(),  # recipes only
    "decord": {"media"},
    "torchcodec": {"media"},
    "ray": {"engine", "train"},  # executors; the workers of a training
    "typer": {"cli"},
    "rich": {"cli"},
    "transformers": {"models"},
    "tokenizers": {"models"},
    "kornia": {"train"},
    "tensorboardX": {"train"},
    "triton": {"kernels"},
    "duckdb": {"search"},
    "jinja2": {"report"},
    "openTSNE": {"report"},
    "h5py": {"importing"},
    "lance": {"export"},
    "lancedb": set(),  # readers of what is exported
    "datasets": set(),
    "faiss": {"search"},
}
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
FILES = sorted(p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.stem[0] != "_")


def part(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Absolute names of imported modules, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            if node.module == "vfeat":
                names |= {f"vfeat.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    mine = part(path)
    for name in imports(path):
        if name.startswith("vfeat.") and (other := name.split(".")[1]) in RANK and other != mine:
            assert RANK[other] < RANK[mine], f"{path.name} ({mine}) imports {name}"
        owner = OWNERS.get(name.split(".")[0])
        assert owner is None or mine in owner, f"{path.name} ({mine}) imports {name}"


def test_ray_is_imported_by_six_modules_only() -> None:
    users = [p for p in FILES if any(n.split(".")[0] == "ray" for n in imports(p))]
    names = [
        "local_ray.py", "metrics.py", "ray_connection.py", "ray_feeders.py", "ray_machines.py",
        "ray_workers.py",
    ]  # fmt: skip
    assert sorted(p.name for p in users) == names


def test_no_two_modules_import_each_other() -> None:
    """Not even through others, in a function or for types only."""
    modules = {".".join(("vfeat", *p.relative_to(ROOT).with_suffix("").parts)): p for p in FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {name: _imported(path) & modules.keys() - {name} for name, path in modules.items()}
    for name in graph:
        reached, todo = set(), [name]
        while todo:
            for other in graph[todo.pop()] - reached:
                reached.add(other)
                todo.append(other)
        assert name not in reached, f"{name} imports itself by way of others"


def _imported(path: Path) -> set[str]:
    """Modules that a file imports: `from a import b` is a.b where that is a module, else a."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            here = [p for p in parts if (ROOT.parent / f"{p.replace('.', '/')}.py").is_file()]
            found |= set(here) if len(here) == len(parts) else {*here, node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_kernels_never_import_vfeat() -> None:
    for path in (ROOT / "kernels").resolve().rglob("*.py"):
        assert not any(n == "vfeat" or n.startswith("vfeat.") for n in imports(path)), path


def test_the_package_never_imports_a_recipe() -> None:
    recipes = [imports(path) for path in (REPOSITORY / "recipes").rglob("*.py")]
    assert any(name.startswith("vfeat.") for names in recipes for name in names)
    for path in FILES:
        assert not any(name.split(".")[0] == "recipes" for name in imports(path)), path


def test_linter_and_type_checker_cover_the_recipes() -> None:
    tools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    assert "recipes" in tools["mypy"]["packages"] and tools["mypy"]["strict"]
    assert not any("recipes" in path for path in tools["ruff"]["extend-exclude"])


def test_parquet_of_datasets_is_read_in_one_place() -> None:
    """Elsewhere Arrow's threads could hold Python's buffers while the interpreter ends."""
    readers = {"ParquetFile", "ParquetDataset", "read_table", "read_schema", "read_metadata"}
    for path in FILES:
        name = path.relative_to(ROOT)
        if name.parts[0] == "corpus" or name == Path("tables/parquet.py"):
            continue
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("pq", "parquet")
        }
        assert not used & readers, f"{name}: read it by vfeat.tables.parquet"


def test_commands_print_through_one_door() -> None:
    """Elsewhere a name could be taken for markup, or steer the terminal."""
    for path in sorted((ROOT / "cli").glob("*.py")):
        if path.name == "terminal.py":
            continue
        called = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"print", "Console", "Table"}, f"{path.name}: use vfeat.cli.terminal"
