"""The decoder `nvdec` without a GPU: its door, frames, fallback, memory and sandbox."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.nvdec import compare
from tests.media.fake_device import (
    BLIND,
    BROKEN,
    FAILING,
    FOLDER,
    FUSSY,
    HOST,
    HostDevice,
)
from tests.media.running import SMALL, Ran, events, needs, pool_of, settle, stacked
from tests.media.test_surface import LEVELS
from tests.media.truth import OWN, Video
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.boundary import examine_boundary
from vfeat.media.children.child_process import ChildLost
from vfeat.media.children.device_trial import try_device
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask
from vfeat.media.clips import Clip
from vfeat.media.decoders.base import check_decoder
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.devices import cuda, driver
from vfeat.media.devices.base import CUDA, DeviceFailed
from vfeat.media.devices.cuda import CudaDevice
from vfeat.media.devices.driver import Driver
from vfeat.media.probe import probe
from vfeat.media.sandbox.seccomp import build
from vfeat.outcome import FALLBACK

NVDEC = FrameSpec(size=SMALL.size, decoder="nvdec")
SPEC = ClipSpec(4, 1.0, 1.0)
PLAIN, ODD, COPIED = OWN / "cfr25_bframes.mp4", OWN / "odd_size.webm", OWN / "long_low_rate.mp4"


def on_device(
    *paths: Path, device: str | None = HOST, frame: FrameSpec = NVDEC, clip: ClipSpec = SPEC
) -> Ran:
    """What becomes of some videos in one child with a device."""
    ran = Ran()
    with DecodePool(clip, frame, DecodeLimits(), 1, device=device) as pool:
        for number, path in enumerate(paths):
            pool.submit(DecodeTask(number, str(number), str(path), None, None, 0, None))
        for event in events(pool, len(paths)):
            if isinstance(event, ClipReady):
                assert isinstance(event.frames, np.ndarray if device is None else torch.Tensor)
                key = (event.task_id, event.clip_index)
                ran.order.append(key)
                ran.frames[key] = np.asarray(event.frames).copy()
                event.release()
            else:
                ran.take(event)
    return ran


def warnings_of(ran: Ran, task: int) -> list[str]:
    return [warning for warning in ran.outcomes[task].warnings if FALLBACK in warning]


# The door


def test_the_library_is_pyav_itself() -> None:
    check_decoder("nvdec")
    assert "cuda" in cuda.hwdevices_available()


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("av", "--only-binary av"),
        ("libcuda.so.1", "no NVIDIA driver"),
        ("libnvcuvid.so.1", "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"),
        ("GPU", "torch finds no GPU"),
    ],
)
def test_an_obstacle_comes_with_what_to_do(
    lacking: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_loads", lambda name: name != lacking)
    monkeypatch.setattr(cuda, "hwdevices_available", lambda: [] if lacking == "av" else ["cuda"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: lacking != "GPU")
    found = cuda.CudaDevice().obstacle()
    assert found is not None and words in found
    monkeypatch.undo()


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_ffmpeg_shares_torchs_context_in_the_first_way_that_works(
    refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[dict[str, str]] = []

    class Acceleration:
        def __init__(self, kind: str, *, options: dict[str, str], **more: bool) -> None:
            assert kind == "cuda" and more["is_hw_owned"] and more["allow_software_fallback"]
            tried.append(options)

        def create(self, codec: object) -> None:
            if len(tried) <= refused:
                raise cuda.FFmpegError(95, "Operation not supported")

    monkeypatch.setattr(cuda, "HWAccel", Acceleration)
    monkeypatch.setattr(cuda, "Driver", lambda for_ffmpeg: None)
    monkeypatch.setattr(cuda, "_compute", lambda: None)
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: None)
    device = cuda.CudaDevice()
    if refused == 2:
        with pytest.raises(DeviceFailed, match=r"FFmpeg cannot use the GPU.*not supported"):
            device.start()
        return
    device.start()
    device.acceleration()
    assert tried[-1] == [{"primary_ctx": "1"}, {"primary_ctx": "0", "current_ctx": "1"}][refused]


# Frames


def test_clips_hold_the_frames_of_pyav(small_video: Video) -> None:
    spec = ClipSpec(3, 0.5, 1.3)
    ours = settle(small_video.path, spec, frame=NVDEC, device=HostDevice())
    theirs = settle(small_video.path, spec)
    assert [type(one) for one in ours] == [type(one) for one in theirs]
    difference = stacked(ours).astype(int) - stacked(theirs)
    assert abs(difference).max() <= 1 + LEVELS


def test_damage_is_met_as_pyav_meets_it(
    broken_video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The engines decode every picture, and damage in one spoils others.
    monkeypatch.setattr(PyavDecoder, "spare", lambda decoder, samples: None)
    try:
        theirs = settle(broken_video.path, SPEC)
    except Exception as refused:
        with pytest.raises(type(refused)):
            settle(broken_video.path, SPEC, frame=NVDEC, device=HostDevice())
        return
    ours = settle(broken_video.path, SPEC, frame=NVDEC, device=HostDevice())
    assert [type(one) for one in ours] == [type(one) for one in theirs]
    if any(isinstance(one, Clip) for one in ours):
        assert abs(stacked(ours).astype(int) - stacked(theirs)).max() <= 1 + LEVELS


# Children


@pytest.fixture(scope="module")
def by_device() -> Ran:
    return on_device(PLAIN, ODD, COPIED)


@pytest.fixture(scope="module")
def by_pyav() -> Ran:
    return on_device(PLAIN, ODD, COPIED, device=None, frame=SMALL)


def test_clips_come_from_the_devices_memory(by_device: Ran, by_pyav: Ran) -> None:
    assert by_device.order == by_pyav.order and len(by_device.order) > 10
    for key, theirs in by_pyav.frames.items():
        assert abs(by_device.frames[key].astype(int) - theirs).max() <= 1 + LEVELS


def test_a_file_that_the_device_does_not_decode_goes_to_pyav_and_is_named(
    by_device: Ran,
) -> None:
    (warning,) = warnings_of(by_device, 1)
    assert ODD.name in warning and "227x127" in warning and "instead of nvdec" in warning
    assert warnings_of(by_device, 0) == warnings_of(by_device, 2) == []


def test_without_a_device_every_file_goes_to_pyav_and_is_named(by_pyav: Ran) -> None:
    ran = on_device(PLAIN, ODD, device=None)
    for task in (0, 1):
        assert "without a GPU" in warnings_of(ran, task)[0]
    for key, frames in ran.frames.items():
        assert np.array_equal(frames, by_pyav.frames[key])


def test_a_child_that_dies_takes_no_memory_along() -> None:
    """Clips that were given out stay, the rest comes from another child, and nothing is left."""
    line = probe(str(PLAIN), None, SPEC, DecodeLimits()).timeline
    there = set(FOLDER.iterdir())
    with DecodePool(SPEC, NVDEC, DecodeLimits(), 1, 2, device=HOST) as pool:
        pool.submit(DecodeTask(0, "0", str(PLAIN), None, line, 0, 5))
        first, second = pool.next_event(60), pool.next_event(60)
        assert isinstance(first, ClipReady) and isinstance(second, ClipReady)
        before = np.asarray(first.frames).copy()
        (child,) = pool.stats()
        os.kill(child.pid, 9)
        ran = Ran()
        for event in events(pool, 1):
            if isinstance(event, ClipReady):
                ran.order.append((0, event.clip_index))
                event.release()
            else:
                ran.take(event)
        assert ran.order == [(0, clip) for clip in (2, 3, 4, 5)]
        assert np.array_equal(before, np.asarray(first.frames))
        assert ran.outcomes[0].rows == 6
        second.release()
    del first, second, event
    gc.collect()
    assert set(FOLDER.iterdir()) <= there


def test_the_benchmark_compares_clip_by_clip() -> None:
    plain, odd = compare([PLAIN, ODD], 32, HOST)
    assert (plain.is_same, plain.on_gpu, plain.clips) == (True, True, 3)
    assert (odd.is_same, odd.on_gpu) == (True, False)
    assert not replace(plain, most=3.0).is_same and not replace(plain, clips=None).is_same


@pytest.mark.skipif(CudaDevice().obstacle() is not None, reason="no GPU that decodes")
def test_a_gpu_decodes_the_clips_of_this_repository() -> None:
    found = list(compare(sorted(OWN.glob("*.mp4")), 224, CUDA))
    assert [one for one in found if not one.is_same] == []
    assert any(one.on_gpu for one in found)


# The sandbox


def test_a_child_with_a_device_can_do_no_more_than_use_it(holding: set[str]) -> None:
    needs(holding)
    attacking = FrameSpec(size=32, decoder="tests.media.trespassers:Trespasser")
    ran = on_device(PLAIN, frame=attacking)
    assert "did [start a thread]" in ran.outcomes[0].errors[0].message


def test_what_a_device_leaves_open_is_named(holding: set[str]) -> None:
    needs(holding)
    found = {measure.name: measure.missing for measure in examine_boundary("nvdec", HOST)}
    open_ones = {"limits", "Landlock for files", "seccomp"}
    assert {name for name, missing in found.items() if missing} == open_ones
    assert "device files" in found["Landlock for files"] and "device files" in found["seccomp"]


def test_memory_of_a_child_with_a_device_is_limited() -> None:
    greedy = FrameSpec(size=32, decoder="tests.media.hostile:Greedy")
    (error,) = on_device(PLAIN, frame=greedy).outcomes[0].errors
    assert (error.error_class, "memory_bytes" in error.message) == ("too_large", True)


def test_a_driver_that_does_not_start_beneath_landlock_starts_without_it(
    holding: set[str],
) -> None:
    """And its child opens no file for writing, since nothing but Landlock tells files apart."""
    needs(holding)
    found = {measure.name: measure.missing for measure in examine_boundary("nvdec", FUSSY)}
    assert found["seccomp"] == ""
    assert "does not start beneath it" in found["Landlock for files"]
    assert "by the parent only" in found["limits"]
    attacking = FrameSpec(size=32, decoder="tests.media.trespassers:PathTrespasser")
    (error,) = on_device(PLAIN, device=FUSSY, frame=attacking).outcomes[0].errors
    done = error.message.partition("did [")[2].partition("]")[0].split("; ")
    assert done and all(one.startswith(("read", "list", "start", "signal")) for one in done)


def test_a_trial_decodes_a_video_in_a_child() -> None:
    assert try_device("nvdec", HOST) is None
    assert "does not decode H.264 here" in str(try_device("nvdec", BLIND))
    reason = str(try_device("nvdec", FAILING))
    assert "a child cannot decode with it" in reason and "no session" in reason


def test_a_device_that_does_not_start_is_the_reason_of_the_error() -> None:
    with pytest.raises(ChildLost, match="cannot use its GPU: out of memory"):
        examine_boundary("nvdec", BROKEN)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_jump_of_the_devices_filter_leaves_it(machine: str) -> None:
    program = build(machine, 1234, opens_devices=True)
    assert len(program) < len(build(machine, 1234))
    for place, (_, if_true, if_false, _) in enumerate(program[:-1]):
        assert place + 1 + max(if_true, if_false) <= len(program) - 1


# Calls of the driver, by a library that checks them


_LIBRARY = r"""
#include <stdlib.h>
#include <string.h>
typedef unsigned long long ptr;
typedef struct { unsigned char bytes[64]; } handle;
static int current, flags;
int cuInit(unsigned zero) { return zero; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return ordinal; }
int cuDevicePrimaryCtxSetFlags_v2(int device, unsigned f) { flags = f; return device != 7; }
int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = (void *)0x123456789abc; return device != 7; }
int cuCtxSetCurrent(void *context) { current = 1; return context != (void *)0x123456789abc; }
int cuMemAlloc_v2(ptr *out, size_t size) {
    if (!current) return 201;
    if (size % (2 << 20) || size > (64 << 20)) return 2;
    *out = (ptr)calloc(size, 1); return 0; }
int cuMemFree_v2(ptr address) { free((void *)address); return 0; }
int cuIpcGetMemHandle(handle *out, ptr address) {
    memset(out, 0x5a, 64); memcpy(out, &address, 8); return 0; }
int cuIpcOpenMemHandle_v2(ptr *out, handle in, unsigned how) {
    for (int i = 8; i < 64; i++) if (in.bytes[i] != 0x5a) return 1;
    memcpy(out, &in, 8); return how != 1; }
int cuGetErrorString(int status, const char **text) {
    *text = status == 2 ? "out of memory" : "invalid value"; return 0; }
int flags_of_the_context(void) { return flags; }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "cuda.c").write_text(_LIBRARY)
    built = folder / "libcuda.so.1"
    source = str(folder / "cuda.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(built), source], check=True)
    return ctypes.CDLL(str(built))


def test_memory_is_exported_and_opened_by_the_drivers_own_calls(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: library)
    ours, theirs = Driver(), Driver(for_ffmpeg=True)
    assert library.flags_of_the_context() == 4  # a context of FFmpeg's own kind
    address = ours.allocate(100)
    handle = ours.export(address)
    assert len(handle) == 64
    assert theirs.open(handle) == address
    ctypes.memset(address, 1, 2 << 20)  # a whole block, whatever was asked for
    ours.free(address)
    with pytest.raises(DeviceFailed, match=r"cuMemAlloc_v2: out of memory \(2\)"):
        ours.allocate(100 << 20)
    with pytest.raises(DeviceFailed, match="handle of 3 bytes"):
        theirs.open(b"abc")


def test_the_folders_of_the_drivers_libraries_stay_readable(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers they lie where nothing else of the system does."""
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/usr/local/nvidia/lib64{os.pathsep}")
    readable = CudaDevice().readable
    assert {str(Path(library._name).parent), "/usr/local/nvidia/lib64"} < set(readable)
    assert "" not in readable and "/" not in readable


def test_a_machine_without_a_driver_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(driver.ctypes, "CDLL", missing)
    with pytest.raises(DeviceFailed, match="no NVIDIA driver"):
        Driver()


def test_a_pool_without_a_device_gives_arrays_that_cannot_be_written() -> None:
    with pool_of(1, SPEC) as pool:
        pool.submit(DecodeTask(0, "0", str(PLAIN), None, None, 0, 0))
        for event in events(pool, 1):
            if isinstance(event, ClipReady):
                assert event.array.flags.writeable is False
                event.release()
