"""Fixtures that every test may ask for. Nothing heavy is imported here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.s3.fixtures import bucket, proxy, s3

__all__ = ["bucket", "proxy", "s3"]  # fixtures of a real S3-API server, found by their names

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("vfeat", deadline=None)
hypothesis.settings.load_profile("vfeat")

REPOSITORY = Path(__file__).resolve().parent.parent


class FailuresAtOnce:
    """Prints each failure when it happens: a run that is cut off has still told of it."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"{report.outcome}: {report.nodeid} ({report.when})")
            self._terminal.write_line(report.longreprtext[-4000:])


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        config.pluginmanager.register(FailuresAtOnce(terminal))


@pytest.fixture(autouse=True)
def _ordinary_scheduling() -> Iterator[None]:
    """Fail where a test leaves this process real-time: what it starts would keep the cores."""
    yield
    if hasattr(os, "sched_getscheduler") and (policy := os.sched_getscheduler(0)):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail(f"the test left scheduling policy {policy} behind")


@pytest.fixture(scope="session")
def own_clips() -> Path:
    """The clips of this repository; the truth about each stands in clips.json there."""
    return REPOSITORY / "tests" / "clips"


@pytest.fixture(scope="session")
def demo_clips() -> Path:
    """The clips of `make demo`."""
    return REPOSITORY / "jobs" / "demo_clips"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Large material that is not in the repository: $VFEAT_SHARED, or `shared` beside it."""
    folder = Path(os.environ.get("VFEAT_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder}: set VFEAT_SHARED to its folder")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Outputs of the official code, to compare with."""
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden files at {folder}")
    return folder
