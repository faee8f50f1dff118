"""Compile for an H200 without one: registers, spills and instructions of every kernel.

    python -m vfeat.kernels.gpu.offline        prints the table

The host code runs on tensors of the `meta` device, whose launches are recorded, not started; each
is then compiled with exactly the types and constants of a real launch.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.uint8: "*u8"}
MODEL_TYPES = (torch.float32, torch.bfloat16)


class Call(NamedTuple):
    """A recorded launch."""

    kernel: Any
    arguments: tuple[Any, ...]
    warps: int
    constants: dict[str, Any]


class Built(NamedTuple):
    """Result of ptxas for one launch.

    Attributes:
        name: kernel and its types.
        registers: registers of each thread.
        spilled_bytes: local memory of each thread.
        shared_bytes: shared memory of each block.
        loops: instructions of each innermost loop, in the order of the code.
    """

    name: str
    registers: int
    spilled_bytes: int
    shared_bytes: int
    loops: tuple[int, ...]


def record(run: Callable[[], object]) -> list[Call]:
    """Run a function and return its launches, none of which is started."""
    from . import block, conv_ops, norm, pixels, scan_ops

    calls: list[Call] = []

    def keep(kernel: Any, grid: Any, *arguments: Any, warps: int, **constants: Any) -> None:
        calls.append(Call(kernel, arguments, warps, constants))

    with ExitStack() as stack:
        for module in (scan_ops, conv_ops, norm, pixels):
            stack.enter_context(patch.object(module, "launch", keep))
        # The meta device has no autocast.
        stack.enter_context(patch.object(block, "no_autocast", nullcontext))
        run()
    return calls


def build(call: Call) -> Built:
    """Compile for sm_90 and read the result back.

    Raises:
        subprocess.CalledProcessError: a tool of the triton wheel failed.
    """
    compiled = triton.compile(_source(call), target=HOPPER, options={"num_warps": call.warps})
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage = _tool("cuobjdump", "-res-usage", str(cubin))
        code = _tool("nvdisasm", "-c", str(cubin))
    found = {k: int(v) for k, v in re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", usage)}
    spilled = max(found["STACK"], found["LOCAL"])
    return Built(call.kernel.__name__, found["REG"], spilled, found["SHARED"], loops(code))


def _source(call: Call) -> ASTSource:
    """Build the source with the types that a launch on a GPU would compile for."""
    names = [p.name for p in call.kernel.params]
    constants = dict(call.constants)
    signature, attributes = dict.fromkeys(constants, "constexpr"), {}
    for index, value in enumerate(call.arguments):
        parameter = call.kernel.params[index]
        name, is_tensor = parameter.name, isinstance(value, Tensor)
        if not is_tensor and value == 1 and not parameter.do_not_specialize:
            signature[name], constants[name] = "constexpr", 1
            continue
        signature[name] = TYPES[value.dtype] if is_tensor else "i32"
        offset = value.storage_offset() * value.element_size() if is_tensor else value
        plain = parameter.do_not_specialize or parameter.do_not_specialize_on_alignment
        if offset % 16 == 0 and not plain:
            attributes[(index,)] = [["tt.divisibility", 16]]
    ordered = {name: signature[name] for name in names}
    return ASTSource(call.kernel, signature=ordered, constexprs=constants, attrs=attributes)


def _tool(name: str, *arguments: str) -> str:
    """Return the output of a CUDA tool that comes with triton."""
    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout


def loops(code: str) -> tuple[int, ...]:
    """Count the instructions in each innermost loop of a disassembly."""
    labels: dict[str, int] = {}
    spans: list[tuple[int, int]] = []
    count = 0
    for line in code.splitlines():
        if label := re.match(r"\s*(\.L_\w+):", line):
            labels[label[1]] = count
            continue
        if instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
            jump = re.search(r"\bBRA\b.*\((\.L_\w+)\)", instruction[1])
            if jump and labels.get(jump[1], count) < count:
                spans.append((labels[jump[1]], count))
            count += 1
    innermost = [a for a in spans if not any(a[0] <= b[0] and b[1] < a[1] for b in spans)]
    return tuple(end - start + 1 for start, end in innermost)


def block_calls(channels: int, rank: int, dtype: torch.dtype) -> list[Call]:
    """Record every launch: pixels, a block with and without segments, and its training."""
    from ..pixels import Patch
    from ..weights import DirectionWeights
    from .block import bidirectional_mamba
    from .norm import add_rms_norm
    from .pixels import pixel_rows

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(*shape, dtype=dtype, device="meta")

    def direction() -> DirectionWeights:
        sizes = ((channels, 4), (channels,), (rank + 32, channels), (channels, rank))
        return DirectionWeights(
            *(empty(*size) for size in (*sizes, (channels,), (channels, 16), (channels,)))
        )

    def run() -> None:
        weights = direction(), direction()
        with torch.no_grad():
            for clips in (2, 256):
                bidirectional_mamba(empty(clips, 1569, 2 * channels, dtype=dtype), *weights)
            hidden = empty(2, 1569, channels // 2, dtype=dtype)
            add_rms_norm(hidden, hidden.float(), empty(channels // 2, dtype=dtype), 1e-5)
            frames = empty(2, 8, 224, 224, 3, dtype=torch.uint8)
            pixel_rows(frames, empty(3), empty(3), Patch(1, 16, 16), dtype)
        xz = empty(2, 1569, 2 * channels, dtype=dtype).requires_grad_()
        bidirectional_mamba(xz, *weights).sum().backward()  # type: ignore[no-untyped-call]

    return record(run)


def main() -> int:
    """Print a line for each kernel, model width and dtype."""
    print(f"{'kernel':20} {'E':>5} {'dtype':>9} {'regs':>5} {'spilled B':>9}  loops")
    for channels, rank in ((384, 12), (768, 24), (1152, 36)):
        for dtype in MODEL_TYPES:
            for built in {build(call): None for call in block_calls(channels, rank, dtype)}:
                print(
                    f"{built.name:20} {channels:5} {str(dtype)[6:]:>9} {built.registers:5} "
                    f"{built.spilled_bytes:9}  {built.loops}"
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
