"""A decoder child is a boundary: whatever it tries ends as its unit's error, and nothing else."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.media.running import SMALL, Ran, events, needs, pool_of, run_all
from tests.media.trespassers import BREAKS, MARK, REFUSED, SECRET
from tests.media.truth import OWN
from tests.media.web import serve
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.boundary import examine_boundary
from vfeat.media.children.channel import Channel
from vfeat.media.children.messages import Alive, BrokenProtocol
from vfeat.media.children.served import Refused, Served
from vfeat.media.children.started import environment
from vfeat.media.children.task import ClipReady, DecodeTask, ProbeTask, TaskDone
from vfeat.media.children.unit_budget import UnitBudget
from vfeat.media.probe import probe
from vfeat.media.sandbox.enter import NAMES
from vfeat.media.sandbox.seccomp import build
from vfeat.outcome import Outcome

VICTIM, NEIGHBOUR = OWN / "cfr25_bframes.mp4", OWN / "cfr25_faststart.mp4"
SPEC = ClipSpec(4, 1.0, 1.0)


def attacking(name: str) -> FrameSpec:
    return FrameSpec(size=32, decoder=f"tests.media.trespassers:{name}")


def attack(name: str, limits: DecodeLimits | None = None) -> Outcome:
    """What becomes of a video whose decoder attacks; one after it is whole."""
    with pool_of(1, SPEC, attacking(name), limits or DecodeLimits()) as pool:
        ran = run_all(pool, [VICTIM, NEIGHBOUR])
    assert ran.outcomes[1].rows == 4 and ran.outcomes[1].errors == ()
    assert [clip for task, clip in ran.order if task == 1] == [0, 1, 2, 3]
    assert ran.outcomes[0].rows == len([clip for task, clip in ran.order if task == 0])
    return ran.outcomes[0]


def test_every_act_of_a_decoder_is_refused(
    holding: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(holding)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    before = VICTIM.read_bytes()
    (error,) = attack("Trespasser").errors
    assert error.error_class == "internal" and "did [start a thread]" in error.message
    assert SECRET not in error.message and "HOME" not in error.message
    assert not Path(MARK).exists()
    assert VICTIM.read_bytes() == before


def test_a_decoder_that_needs_paths_can_only_read(holding: set[str]) -> None:
    needs(holding)
    (error,) = attack("PathTrespasser").errors
    readable = [name for name in REFUSED if name.startswith(("read", "list"))]
    assert f"did [{'; '.join([*readable, 'start a thread'])}]" in error.message
    (files,) = (m for m in examine_boundary("decord") if m.name == "Landlock for files")
    assert "for writing only" in files.missing


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What becomes of a video for each way to break the protocol; others come in between."""
    folder = tmp_path_factory.mktemp("broken")
    ran = Ran()
    with pool_of(2, SPEC, attacking("Breaker")) as pool:
        for number, name in enumerate(BREAKS):
            path = folder / f"{VICTIM.stem}-{name}.mp4"
            path.symlink_to(VICTIM)
            pool.submit(DecodeTask(2 * number, name, str(path), None, None, 0, None))
            pool.submit(DecodeTask(2 * number + 1, "", str(NEIGHBOUR), None, None, 0, None))
        for event in events(pool, 2 * len(BREAKS)):
            ran.take(event)
    between = [outcome for task, outcome in ran.outcomes.items() if task % 2]
    assert [(outcome.rows, outcome.errors) for outcome in between] == [(4, ())] * len(BREAKS)
    return {name: ran.outcomes[2 * number] for number, name in enumerate(BREAKS)}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_the_protocol_is_an_error_of_its_unit(
    name: str, broken: dict[str, Outcome]
) -> None:
    (error,) = broken[name].errors
    assert (error.error_class, error.attempts, error.first_clip, error.last_clip) == (
        "crashed", 2, 2, 5,
    )  # fmt: skip
    assert BREAKS[name][1] in error.message and name in error.message
    assert broken[name].rows == 2
    assert not Path(MARK).exists()


def test_a_message_that_never_ends_is_a_hang() -> None:
    (error,) = attack("HalfMessage", DecodeLimits(timeout_s=3.0)).errors
    assert (error.error_class, error.attempts) == ("timeout", 2)


def test_a_message_for_the_next_task_ends_the_child_before_it() -> None:
    outcome = attack("SpeaksLater")
    assert outcome.rows == 6


def test_a_slot_that_the_consumer_holds_is_not_the_childs() -> None:
    line = probe(str(VICTIM), None, SPEC, DecodeLimits()).timeline
    with pool_of(1, SPEC, attacking("HeldSlot")) as pool:
        pool.submit(DecodeTask(0, "0", str(VICTIM), None, line, 0, 5))
        came = [pool.next_event(60) for _ in range(4)]
        clips = [event for event in came if isinstance(event, ClipReady)]
        assert [clip.clip_index for clip in clips] == [0, 1, 2]
    done = came[3]
    assert isinstance(done, TaskDone)
    assert "slot 0, which is not the child's" in done.outcome.errors[0].message


def test_a_child_knows_no_signature(holding: set[str]) -> None:
    needs(holding)
    size = VICTIM.stat().st_size
    line = probe(str(VICTIM), None, SPEC, DecodeLimits()).timeline
    ran = Ran()
    with serve(OWN) as web, pool_of(1, SPEC, attacking("Trespasser")) as pool:
        host = web.address.removeprefix("http://")
        uri = f"http://user:{SECRET}@{host}/{VICTIM.name}?Signature={SECRET}"
        pool.submit(DecodeTask(0, "0", uri, size, line, 0, 5))
        for event in events(pool, 1):
            ran.take(event)
        assert any("Signature" in path for path in web.asked)
    (error,) = ran.outcomes[0].errors
    said = error.message.partition("did [")[2]
    assert f"as {web.address}/{VICTIM.name} with" in said and SECRET not in said


def test_an_object_of_unknown_size_is_read_through_the_parent() -> None:
    with serve(OWN) as web, pool_of(1, SPEC) as pool:
        pool.submit(DecodeTask(0, "0", f"{web.address}/{VICTIM.name}", None, None, 0, None))
        ran = Ran()
        for event in events(pool, 1):
            ran.take(event)
    assert ran.outcomes[0].rows == 6


def test_a_small_remote_file_is_one_request() -> None:
    with serve(OWN) as web, pool_of(1, SPEC) as pool:
        size = VICTIM.stat().st_size
        pool.submit(DecodeTask(0, "0", f"{web.address}/{VICTIM.name}", size, None, 0, None))
        ran = Ran()
        for event in events(pool, 1):
            ran.take(event)
        assert len(web.asked) == 1
    assert ran.outcomes[0].rows == 6


def test_a_failure_to_read_keeps_its_reason() -> None:
    """Though the child has not been given it."""
    limits = DecodeLimits(timeout_s=2.0)
    with serve(OWN) as web, pool_of(1, SPEC, SMALL, limits) as pool:
        names = (f"{web.address}/nowhere.mp4", "/nowhere/at/all.mp4", str(OWN))
        for number, uri in enumerate(names):
            pool.submit(DecodeTask(number, str(number), uri, 1000, None, 0, None))
            pool.submit(ProbeTask(10 + number, uri, 1000))
        ran = Ran()
        for event in events(pool, 6):
            ran.take(event)
    said = ["does not exist", "No such file", "is a folder"]
    for number, words in enumerate(said):
        (error,) = ran.outcomes[number].errors
        failure = ran.failures[10 + number]
        for found in (error, failure):
            assert found.error_class == "storage" and words in found.message, found


def test_an_address_that_nothing_reads_says_so() -> None:
    with pool_of(1, SPEC) as pool:
        pool.submit(ProbeTask(0, "nonesuch://host/a.mp4", 1000))
        pool.submit(DecodeTask(1, "1", "nonesuch://host/a.mp4", 1000, None, 0, None))
        ran = Ran()
        for event in events(pool, 2):
            ran.take(event)
    (error,) = ran.outcomes[1].errors
    for found in (ran.failures[0], error):
        assert found.error_class == "internal" and "no installed package reads" in found.message


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    """And nobody waits for its writer."""
    os.mkfifo(tmp_path / "pipe.mp4")
    with pool_of(1, SPEC) as pool:
        pool.submit(ProbeTask(0, str(tmp_path / "pipe.mp4")))
        ran = Ran()
        for event in events(pool, 1):
            ran.take(event)
    assert "neither a file nor a folder" in ran.failures[0].message


def test_a_parent_never_waits_for_a_child_that_does_not_read() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, waits=False)
    with theirs, pytest.raises(BlockingIOError):
        for _ in range(1_000_000):
            channel.send(Alive())
    channel.close()


def test_memory_is_counted_from_outside() -> None:
    # another process than this one: the budget limits its CPU time, too
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as watched:
        budget = UnitBudget(None, DecodeLimits(memory_bytes=1 << 20), watched.pid)
        deadline_s = time.monotonic() + 30
        while (overrun := budget.overrun()) is None and time.monotonic() < deadline_s:
            time.sleep(0.05)
        watched.kill()
    assert overrun is not None and overrun.error_class == "too_large"
    assert "memory_bytes" in overrun.message


def test_a_copy_is_made_of_what_is_to_be_copied_only() -> None:
    served = Served(ProbeTask(0, "http://localhost:1/a.mp4", 2000), 1.0, spool_bytes=1000)
    with pytest.raises(Refused):
        served.copy(lambda: None)
    with pytest.raises(Refused):
        served.open()
    with pytest.raises(Refused):
        served.read(5, 4)


def test_a_childs_environment_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "FSSPEC_CONFIG_DIR", "HTTPS_PROXY"):
        monkeypatch.setenv(name, SECRET)
    found = environment()
    assert SECRET not in found.values()
    assert not {"HOME", "PATH", "USER"} & found.keys()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_jump_of_the_filter_leaves_it(machine: str) -> None:
    program = build(machine, 1234)
    assert len(program) < 4096  # the kernel's limit
    for place, (_, if_true, if_false, _) in enumerate(program):
        assert place + 1 + max(if_true, if_false) <= len(program) - 1 or place == len(program) - 1
    assert program[-1] == (0x06, 0, 0, 0x7FFF0000)


_OLD_KERNEL = """
from vfeat.media.sandbox import enter, landlock, seccomp
def refuse(*_): raise OSError(38, "Function not implemented")
landlock.version = seccomp.system_call = refuse
print([measure.name for measure in enter.enter() if measure.missing])
"""


def test_a_kernel_that_has_little_gives_what_it_has() -> None:
    env = environment()
    ran = subprocess.run(
        [sys.executable, "-c", _OLD_KERNEL], capture_output=True, env=env, text=True, check=True
    )
    assert {"Landlock for files", "seccomp"} <= set(ast.literal_eval(ran.stdout))
    assert "limits" not in ast.literal_eval(ran.stdout)


def test_doctor_names_what_holds(holding: set[str]) -> None:
    command = [sys.executable, "-m", "vfeat", "doctor", "--json"]
    findings = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    said = " ".join(f["found"] for f in findings if f["what"] == "decoder boundary")
    assert "holds: " in said
    assert all(name in said for name in NAMES)
    assert ("does not hold" in said) == (holding != set(NAMES))


def test_garbage_is_one_error() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, waits=False)
    with theirs:
        theirs.sendall(b"\x01\x00\x00\x00\xc1")
        with pytest.raises(BrokenProtocol):
            channel.receive(5)
    channel.close()
