"""What a cluster is made from: Ray's and KubeRay's files, the image, and the wheel in both."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from tests.engine.commands import REPOSITORY
from tests.kuberay import RAY_JOB
from vfeat.cli.app import app

DOCKERFILE = REPOSITORY / "Dockerfile"


def cluster_file() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())
    return found


def ray_job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "jobs" / "rayjob.yaml").read_text())
    return found


def test_ray_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster_file()))


def test_the_cluster_has_decode_nodes_gpu_nodes_and_spot_instances() -> None:
    types = {
        name: node["node_config"] for name, node in cluster_file()["available_node_types"].items()
    }
    spot = {name for name, node in types.items() if "InstanceMarketOptions" in node}
    assert {"head", "decode", "gpu", "gpu_spot"} == types.keys()
    assert spot == {"decode", "gpu_spot"}


def test_no_cluster_installs_vfeat_by_a_name_that_anybody_may_register() -> None:
    commands = [*cluster_file()["setup_commands"], *instructions()["RUN"]]
    installs = [command for command in commands if "pip install" in command]
    assert len(installs) == 2
    for command in installs:
        assert ".whl" in command
        assert "vfeat" not in re.sub(r"\S*\.whl", "", command).split(), command
        assert re.search(r"(?<![\w/-])vfeat(\[|$|\s|\")", command) is None, command


def test_kuberay_knows_every_field_of_the_manifest() -> None:
    jsonschema.validate(ray_job(), RAY_JOB)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "shutdownAfterJobFinishs"), True),
        (("spec", "rayClusterSpec", "authOptions"), {"mode": "tokens"}),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"), "16"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams"), {"num-cpus": 0}),
    ],
)
def test_a_mistake_in_the_manifest_is_found(path: tuple[Any, ...], value: object) -> None:
    manifest = ray_job()
    place: Any = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, RAY_JOB)


def test_the_manifest_has_cores_and_gpus_and_the_version_of_ray_that_is_tested() -> None:
    spec = ray_job()["spec"]["rayClusterSpec"]
    limits = [
        group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in spec["workerGroupSpecs"]
    ]
    assert ["nvidia.com/gpu" in limit for limit in limits] == [False, True]
    assert spec["rayVersion"] == version("ray")


def test_the_commands_of_both_files_are_jobs_that_vfeat_accepts() -> None:
    text = (REPOSITORY / "ray-cluster.yaml").read_text()
    shown = re.search(r"ray exec ray-cluster.yaml '(.*)'", text)
    assert shown is not None
    for command in (ray_job()["spec"]["entrypoint"], shown[1]):
        program, verb, *flags = shlex.split(command)
        known = get_command(app)
        assert program == "vfeat" and isinstance(known, TyperGroup)
        parsed = known.commands[verb].make_context(verb, flags).params  # a wrong flag raises
        assert parsed["address"] == "auto" and parsed["sources"] and parsed["out"]


def instructions() -> dict[str, list[str]]:
    """The Dockerfile's instructions by their names, continued lines joined."""
    found: dict[str, list[str]] = {}
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest)
    return found


def test_the_image_is_made_from_files_of_this_repository_and_runs_as_nobody_special() -> None:
    known = {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "CMD"}
    parsed = instructions()
    assert parsed.keys() == known
    sources = [s for line in parsed["COPY"] if "--from" not in line for s in line.split()[:-1]]
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert f"!{source}" in ignored, f"{source} does not reach docker"
    assert parsed["USER"][-1] != "root"


def test_the_wheel_of_the_image_needs_nothing_but_what_the_image_copies(tmp_path: Path) -> None:
    """Its two pip lines, carried out with the files that the first stage has."""
    for line in instructions()["COPY"]:
        if "--from" not in line and "constraints" not in line:
            *sources, _ = line.split()
            names = [str(REPOSITORY / source) for source in sources]
            subprocess.run(["cp", "-a", *names, str(tmp_path)], check=True)
    wheels, installed = tmp_path / "wheels", tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    make = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), "."]
    subprocess.run([*pip, *make], cwd=tmp_path, check=True, capture_output=True)
    [wheel] = wheels.glob("vfeat-*.whl")
    into = ["install", "--no-deps", "--no-index", "--target", str(installed), str(wheel)]
    subprocess.run([*pip, *into], check=True, capture_output=True)
    shown = subprocess.run(
        [sys.executable, "-m", "vfeat", "models"],
        cwd=installed, env={"PYTHONPATH": str(installed)}, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    assert "videomamba" in shown.stdout
