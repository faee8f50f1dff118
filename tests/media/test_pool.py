"""Children: clips come once and in order, whatever decoders do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.media.running import SMALL, Ran, events, pool_of, run_all, settle, stacked
from tests.media.truth import OWN
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, Probed, ProbeTask, TaskDone

VICTIM, NEIGHBOUR = OWN / "cfr25_bframes.mp4", OWN / "cfr25_faststart.mp4"
HASTY = DecodeLimits(timeout_s=2.0)


def hostile(name: str) -> FrameSpec:
    return FrameSpec(size=32, decoder=f"tests.media.hostile:{name}")


def run_pair(decoder: str, limits: DecodeLimits = HASTY, workers: int = 1) -> Ran:
    """The victim and its neighbour in one pool; clips of 1 s."""
    with pool_of(workers, ClipSpec(4, 1.0, 1.0), hostile(decoder), limits) as pool:
        ran = run_all(pool, [VICTIM, NEIGHBOUR])
    assert [clip for task, clip in ran.order if task == 1] == [0, 1, 2, 3]
    assert ran.outcomes[1].errors == ()
    return ran


def test_children_give_what_this_process_gives() -> None:
    with pool_of(2) as pool:
        ran = run_all(pool, [VICTIM, OWN / "rotated_90.mp4"])
    for task, path in enumerate((VICTIM, OWN / "rotated_90.mp4")):
        here = stacked(settle(path, ClipSpec()))
        for clip_index, frames_TVHWC in enumerate(here):
            assert (ran.frames[task, clip_index] == frames_TVHWC.swapaxes(0, 1)).all()


@pytest.mark.parametrize(
    ("decoder", "says"),
    [("Segfault", "SIGSEGV"), ("Abort", "SIGABRT"), ("Leave", "code 7")],
)
def test_a_crash_costs_its_own_clips_after_one_retry(decoder: str, says: str) -> None:
    ran = run_pair(decoder)
    outcome = ran.outcomes[0]
    (error,) = outcome.errors
    assert (error.error_class, error.attempts, error.last_clip) == ("crashed", 2, 5)
    assert says in error.message and VICTIM.name in error.message
    emitted = [clip for task, clip in ran.order if task == 0]
    assert emitted == list(range(error.first_clip)) and emitted
    assert outcome.rows == len(emitted)


def test_a_hang_is_killed_and_named() -> None:
    started_s = time.monotonic()
    (error,) = run_pair("Hang").outcomes[0].errors
    assert (error.error_class, error.attempts) == ("timeout", 2)
    assert time.monotonic() - started_s < 20


@pytest.mark.parametrize("decoder", ["Busy", "Spin"])
def test_activity_without_progress_is_a_hang(decoder: str) -> None:
    (error,) = run_pair(decoder).outcomes[0].errors
    assert (error.error_class, error.attempts, error.last_clip) == ("timeout", 2, 5)
    assert "no progress" in error.message


@pytest.mark.parametrize("decoder", ["Liar", "Crawl"])
def test_a_decoder_that_lies_is_ended_by_its_budget(decoder: str) -> None:
    (error,) = run_pair(decoder, DecodeLimits(timeout_s=1.5)).outcomes[0].errors
    assert (error.error_class, error.attempts, error.last_clip) == ("timeout", 2, 5)
    assert "more than a unit may take" in error.message


def test_a_decoder_that_repeats_itself_is_given_up_without_a_time_out() -> None:
    errors = run_pair("Circle", DecodeLimits()).outcomes[0].errors
    assert {(error.error_class, error.attempts) for error in errors} == {("undecodable", 1)}
    assert errors[-1].last_clip == 5
    assert "repeats itself" in errors[-1].message


def test_no_clip_comes_twice_after_a_retry() -> None:
    ran = run_pair("AbortOnce")
    assert [clip for task, clip in ran.order if task == 0] == [0, 1, 2, 3, 4, 5]
    assert ran.outcomes[0].errors == ()
    assert any("tried again" in warning for warning in ran.outcomes[0].warnings)


def test_slow_is_not_hanging() -> None:
    limits = DecodeLimits(timeout_s=1.5)
    assert run_pair("Slow", limits).outcomes[0].rows == 6


def test_memory_is_limited_per_child() -> None:
    (error,) = run_pair("Greedy").outcomes[0].errors
    assert error.error_class == "too_large"
    assert "memory_bytes" in error.message


def test_a_bug_is_named_with_its_place() -> None:
    (error,) = run_pair("Buggy").outcomes[0].errors
    assert error.error_class == "internal"
    assert "a bug" in error.message and "misbehave" in error.message


def test_a_slow_consumer_is_no_hang() -> None:
    """While the parent holds all slots, the child's clock does not run."""
    spec, limits = ClipSpec(4, 0.2, 0.2), DecodeLimits(timeout_s=1.0)
    with pool_of(1, spec, SMALL, limits, slots=2) as pool:
        pool.submit(ProbeTask(0, str(VICTIM)))
        probed = next(events(pool, 1))
        assert isinstance(probed, Probed)
        pool.submit(DecodeTask(0, "0", str(VICTIM), None, probed.probe.timeline, 0, 9))
        held = [pool.next_event(30) for _ in range(2)]
        assert pool.next_event(2.5) is None
        for clip in held:
            assert isinstance(clip, ClipReady)
            clip.release()
            clip.release()  # more often does no harm
        rest = list(events_with_release(pool))
    assert len(rest) == 8


def events_with_release(pool: DecodePool) -> list[ClipReady]:
    clips = []
    while not isinstance(event := pool.next_event(30), TaskDone):
        assert isinstance(event, ClipReady)
        clips.append(event)
        event.release()
    assert event.outcome.errors == ()
    return clips


def test_frames_stay_as_they_are_until_released() -> None:
    with pool_of(1, ClipSpec(4, 0.5, 0.5), slots=3) as pool:
        pool.submit(ProbeTask(0, str(VICTIM)))
        probed = next(events(pool, 1))
        assert isinstance(probed, Probed)
        pool.submit(DecodeTask(0, "0", str(VICTIM), None, probed.probe.timeline, 0, 11))
        kept = [pool.next_event(30) for _ in range(3)]
        copies = [clip.frames.copy() for clip in kept if isinstance(clip, ClipReady)]
        time.sleep(0.3)
        for clip, copy in zip(kept, copies, strict=True):
            assert isinstance(clip, ClipReady)
            assert (clip.frames == copy).all()
            assert not clip.frames.flags.writeable
    assert isinstance(kept[0], ClipReady)
    assert (kept[0].frames == copies[0]).all()  # also after close


def test_children_are_replaced_after_so_many_videos() -> None:
    limits = DecodeLimits(videos_per_child=2)
    pids = set()
    with pool_of(1, limits=limits) as pool:
        for number in range(6):
            pool.submit(ProbeTask(number, str(OWN / "one_frame.mp4")))
            assert isinstance(pool.next_event(30), Probed)
            pids |= {child.pid for child in pool.stats()}
    assert len(pids) >= 3
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_close_is_quick_and_leaves_no_child() -> None:
    others = psutil.Process().children()  # a server of other tests, perhaps
    pool = DecodePool(ClipSpec(4, 0.1, 0.1), hostile("Hang"), DecodeLimits(), 2, 1)
    for number in range(4):
        pool.submit(ProbeTask(number, str(VICTIM)))
    assert isinstance(pool.next_event(30), Probed)
    children = [c for c in psutil.Process().children() if c not in others]
    assert children
    started_s = time.monotonic()
    pool.close()
    assert time.monotonic() - started_s < 5
    assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
    with pytest.raises(RuntimeError):
        pool.submit(ProbeTask(9, str(VICTIM)))


_PARENT = """
import sys, time
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ProbeTask
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
pool = DecodePool(ClipSpec(), FrameSpec(), DecodeLimits(), 2)
for number in range(2):
    pool.submit(ProbeTask(number, sys.argv[1]))
    pool.next_event(30)
pool.submit(ProbeTask(2, sys.argv[1])); pool.submit(ProbeTask(3, sys.argv[1]))
pool.next_event(30); pool.next_event(30)
print(*[child.pid for child in pool.stats()], flush=True)
time.sleep(1000)
"""


def test_children_die_with_their_parent() -> None:
    command = [sys.executable, "-c", _PARENT, str(VICTIM)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert pids
        parent.send_signal(signal.SIGKILL)
        deadline_s = time.monotonic() + 5
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_idle_child_that_died_is_nobodys_fault() -> None:
    with pool_of(1) as pool:
        pool.submit(ProbeTask(0, str(VICTIM)))
        assert isinstance(pool.next_event(30), Probed)
        (child,) = pool.stats()
        os.kill(child.pid, signal.SIGKILL)
        time.sleep(0.2)
        pool.submit(ProbeTask(1, str(VICTIM)))
        assert isinstance(pool.next_event(30), Probed)


def test_children_are_small_and_do_not_grow() -> None:
    """200 videos in one child: about 60 MB, and flat."""
    with pool_of(1, limits=DecodeLimits(videos_per_child=1000)) as pool:
        sizes: list[int] = []
        for number in range(200):
            pool.submit(ProbeTask(number, str(VICTIM)))
            assert isinstance(pool.next_event(30), Probed)
            sizes.append(pool.stats()[0].rss_bytes)
    assert max(sizes) < 150 << 20
    # the heap settles in the first hundreds of opens; a leak would be 50 MB here
    assert sizes[-1] - sizes[20] < 16 << 20


def test_a_bomb_stays_bounded(corpus: Path) -> None:
    """99 kB that decode to 3 GB."""
    with pool_of(1, ClipSpec(16, 1.0, 1.0)) as pool:
        pool.submit(ProbeTask(0, str(corpus / "made" / "bomb_8k.mp4")))
        probed = pool.next_event(60)
        assert isinstance(probed, Probed)
        line = probed.probe.timeline
        pool.submit(DecodeTask(0, "0", str(corpus / "made" / "bomb_8k.mp4"), None, line, 0, 0))
        largest = 0
        while not isinstance(event := pool.next_event(0.05), TaskDone):
            largest = max(largest, *(child.rss_bytes for child in pool.stats()))
            if isinstance(event, ClipReady):
                event.release()
        assert event.outcome.rows == 1
    # reference pictures of 8K are 50 MB each; a child that keeps what it decodes passes 3 GB
    assert largest < 3 << 29


def test_a_decoder_that_is_not_there_is_refused_at_once() -> None:
    for name, error in {
        "nonesuch": JobError,
        "no_such_package:Decoder": EnvironmentMissing,
    }.items():
        with pytest.raises(error, match=name.partition(":")[0]):
            DecodePool(ClipSpec(), FrameSpec(decoder=name), DecodeLimits(), 1)


def test_the_child_imports_no_torch() -> None:
    code = "import vfeat.media.children.child_main, sys; print('torch' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == "False"


def test_frames_have_the_contracts_shape() -> None:
    frame = FrameSpec(size=48, crops=3)
    with pool_of(1, ClipSpec(5, 1.0, 1.0), frame) as pool:
        ran = run_all(pool, [NEIGHBOUR])
    shapes = {frames.shape for frames in ran.frames.values()}
    assert shapes == {(3, 5, 48, 48, 3)}
    assert all(frames.dtype == np.uint8 for frames in ran.frames.values())
