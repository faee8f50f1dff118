"""Findings about this machine: one per line, each with what to do when something is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from vfeat.errors import NodeDiffers, VfeatError

NEEDED = (
    "torch", "ray", "pyarrow", "av", "opencv-python-headless", "fsspec", "s3fs", "pydantic",
    "msgpack",
)  # fmt: skip
OPTIONAL = {
    "decord": "--decoder decord",
    "torchcodec": "--decoder torchcodec (pip install 'vfeat[torchcodec]')",
    "huggingface_hub": "hf:// weights (pip install 'vfeat[hub]')",
    "transformers": "--model vit:... (pip install 'vfeat[vit]')",
    "tokenizers": "search --text (pip install 'vfeat[words]')",
    "kornia": "train encoder --mixup, --rand-augment, ... (pip install 'vfeat[train]')",
    "tensorboardX": "train encoder: TensorBoard events (pip install 'vfeat[train]')",
    "pandas": "to_pandas() (pip install 'vfeat[pandas]')",
}
STORE_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE")


@dataclass(frozen=True)
class Finding:
    """One line; `missing` stops extraction, `note` does not."""

    state: Literal["ok", "missing", "note"]
    what: str
    found: str


def examine() -> list[Finding]:
    """Examine machine, packages, decoders, devices, kernels and stores."""
    return [
        *_machine(),
        *_packages(),
        *_decoders(),
        *_boundary(),
        *_devices(),
        *_kernels(),
        *_stores(),
    ]


def examine_cluster(address: str) -> list[Finding]:
    """Examine the nodes of a Ray cluster as a run does before it gives them work.

    Raises:
        EnvironmentMissing: no cluster answers there.
    """
    from vfeat.engine.preflight import NodeFacts, Preflight
    from vfeat.engine.ray_machines import RayMachines

    machines, preflight = RayMachines(address), Preflight()
    machines.connect()
    try:
        found: list[Finding] = []
        for node, facts in machines.look():
            name = f"node {node.address} ({node.name[:8]})"
            if not isinstance(facts, NodeFacts):
                found.append(Finding("missing", name, str(facts).partition("\n")[0]))
                continue
            try:
                warnings = list(preflight.admit(node.name, facts))
            except NodeDiffers as error:
                found.append(Finding("missing", name, str(error)))
                continue
            found.append(Finding("note" if warnings else "ok", name, facts.line()))
        return found
    finally:
        machines.close(keep_logs=False)


def _machine() -> Iterator[Finding]:
    yield Finding("ok", "python", f"{sys.version.split()[0]} on {platform.platform()}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("ok", "machine", f"{os.cpu_count()} cores, {memory / 2**30:.0f} GiB memory")
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    state: Literal["ok", "note"] = "ok" if free > 2 << 30 else "note"
    yield Finding(state, "temporary space", f"{free / 2**30:.1f} GiB free in {folder}")


def _packages() -> Iterator[Finding]:
    for name in NEEDED:
        found = _version(name)
        hint = f"not installed: pip install {name}"
        yield Finding("ok" if found else "missing", name, found or hint)
    for name, use in OPTIONAL.items():
        found = _version(name)
        yield Finding("ok" if found else "note", name, found or f"not installed; for {use}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _decoders() -> Iterator[Finding]:
    from vfeat.media.decoders.base import check_decoder

    for name in ("pyav", "decord", "torchcodec"):
        try:
            check_decoder(name)
            yield Finding("ok", f"decoder {name}", "runs" + (" (default)" * (name == "pyav")))
        except VfeatError as error:
            yield Finding("note", f"decoder {name}", str(error))

    if _version("torch") is None or _version("av") is None:
        return
    from vfeat.extract.gpu_decoding import obstacle

    reason = obstacle()
    yield Finding("note" if reason else "ok", "decoder nvdec", reason or "runs on the GPU")


def _boundary() -> Iterator[Finding]:
    if _version("av") is None:
        return
    from vfeat.media.children.boundary import examine_boundary
    from vfeat.media.children.child_process import ChildLost

    try:
        measures = examine_boundary()
    except ChildLost as lost:
        yield Finding("missing", "decoder boundary", lost.message)
        return
    holds = ", ".join(measure.name for measure in measures if not measure.missing)
    yield Finding("ok", "decoder boundary", f"holds: {holds}")
    missing = [f"{measure.name} ({measure.missing})" for measure in measures if measure.missing]
    if missing:
        yield Finding(
            "note",
            "decoder boundary",
            f"does not hold: {', '.join(missing)}; read videos of strangers on another machine",
        )


def _devices() -> Iterator[Finding]:
    if _version("torch") is None:
        return
    import torch

    if not torch.cuda.is_available():
        yield Finding("note", "GPU", "none that torch finds; the model runs on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        free, total = torch.cuda.mem_get_info(index)
        yield Finding("ok", f"GPU {index}", f"{name}, {free >> 30} of {total >> 30} GiB free")


def _kernels() -> Iterator[Finding]:
    from vfeat.ops import describe_backends

    for backend in describe_backends():
        chosen = " (in use)" if backend.chosen else ""
        state: Literal["ok", "note"] = "ok" if backend.runs else "note"
        yield Finding(state, f"kernel {backend.name}", (backend.reason or "runs") + chosen)


def _stores() -> Iterator[Finding]:
    found = [name for name in STORE_VARIABLES if os.environ.get(name)]
    yield Finding(
        "ok" if found else "note",
        "S3",
        "set: " + ", ".join(found)
        if found
        else "no AWS_* variable is set; s3:// needs credentials",
    )
