"""pip's build of vfeat: compile the CPU kernels where there is a compiler.

Without one the package installs all the same and runs on torch; `vfeat doctor` says so.
"""

from __future__ import annotations

import runpy
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
PACKAGED = "vfeat/kernels/_vfeat_cpu.so"


class KernelsHook(BuildHookInterface[Any]):
    """Runs before the wheel is packed, an editable one included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the library in the source folder and have the wheel take it along."""
        if not build_kernels():
            return
        build_data["artifacts"].append(PACKAGED)
        build_data["pure_python"] = False
        # Any Python 3 on this platform: the library knows neither Python's ABI nor torch's.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def build_kernels() -> bool:
    """Compile; False, with a note on stderr, where that cannot be done."""
    build = runpy.run_path(str(ROOT / "vfeat" / "kernels" / "build.py"))
    try:
        build["build"]()
    except build["CannotBuild"] as error:
        print(f"vfeat: installing without the compiled CPU kernels: {error}", file=sys.stderr)
        return False
    return True
