"""The resource that limited a run: where the time of whoever was busiest went.

Time is that of two kinds of hands: decoder processes, which read and decode, and workers, which
hand clips over, run the model and write. A GPU computes beside the thread that hands over, and a
file is written beside both, so these are hands of their own. The hands with the largest busy share
limit the run, and what takes most of their time is named. A worker's time is that with a lease, so
that nobody is blamed for the start or for a long listing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vfeat.engine.knobs import Knobs, knob
from vfeat.engine.worker_protocol import Progress

Resource = Literal["storage", "decode", "hand-over", "model", "write"]
CLEAR = 0.5  # busy share from which on the hands limit a run


@dataclass(frozen=True)
class Bottleneck:
    """The slowest resource of a run.

    Attributes:
        resource: its name.
        share: of the time of the hands that use it, 0 to 1.
        busy: share of that time in which these hands did anything, 0 to 1.
        is_clear: they were busy for most of it; otherwise nothing limited the run for long.
        shares: of every resource, each of the time of its own hands.
        blocked: share of the decoders' time in which they waited for the model.
        computed: share of the workers' time in which the model computed; on a GPU, the GPU.
        worked: share of the whole run in which workers had a lease.
        device: "cpu", or the name of the GPUs.
        workers, decoders: how many there were at the end.
        sentence: all of it in words.
        advice: what to change next.
    """

    resource: Resource
    share: float
    busy: float
    is_clear: bool
    shares: dict[Resource, float]
    blocked: float
    computed: float
    worked: float
    device: str
    workers: int
    decoders: int
    sentence: str
    advice: str


@dataclass(frozen=True)
class _Hands:
    """Resources that share somebody's time: the parts of it that each takes."""

    shares: Mapping[Resource, float]

    @property
    def busy(self) -> float:
        return min(1.0, sum(self.shares.values()))

    @property
    def slowest(self) -> Resource:
        return max(self.shares, key=lambda name: self.shares[name])


def find_bottleneck(
    workers: Sequence[Progress],
    feeders: Sequence[Progress] = (),
    *,
    wall_s: float,
    noun: str = "clips",
    cores: int = 1,
) -> Bottleneck | None:
    """Name the slowest resource of a run; None for a run that did nothing.

    Args:
        workers: their counters; what feeders decoded is in them.
        feeders: their counters, for the time that their children had.
        wall_s: how long the run took, listing and start included.
        noun: of the stage's rows.
        cores: of a worker's machine, its share of them where it has others beside it.
    """
    sums = _Sums(workers, feeders)
    hands = _hands(sums)
    busiest = max(hands, key=lambda one: one.busy)
    if busiest.busy <= 0 or sums.run_s <= 0:
        return None
    resource = busiest.slowest
    shares: dict[Resource, float] = {}
    for one in hands:
        shares |= one.shares
    others = max((one.busy for one in hands if one is not busiest), default=0.0)
    busy = busiest.busy
    named = Knobs(
        resource, busy, others, sums.decoders, len(sums.living), cores, noun, sums.has_gpu,
        bool(feeders),
    )  # fmt: skip
    found = Bottleneck(
        resource, shares[resource], busy, busy >= CLEAR, shares,
        blocked=sums.part("blocked_s", sums.child_s),
        computed=shares["model"],
        worked=sums.part("run_s", wall_s * max(1, len(sums.living))),
        device=sums.device, workers=len(sums.living), decoders=sums.decoders,
        sentence="", advice="",
    )  # fmt: skip
    return replace(
        found,
        sentence=_sentence(found, sums),
        advice=_advice(found, knob(named)),
    )


class _Sums:
    """Seconds of a run, all workers together."""

    def __init__(self, workers: Sequence[Progress], feeders: Sequence[Progress]) -> None:
        self._workers = workers
        self.living = [one for one in workers if one.pid]
        everybody = (*workers, *feeders)
        self.decoders = sum(one.children for one in everybody)
        self.run_s = self.total("run_s")
        child_s = sum(one.child_s for one in everybody)
        # of a feeder that was lost, only what it had finished is on record
        spent = self.total("read_s") + self.total("decode_s") + self.total("blocked_s")
        self.child_s = max(child_s, spent) if child_s else 0.0
        self.device = next((one.device for one in workers if one.device != "cpu"), "cpu")

    @property
    def has_gpu(self) -> bool:
        return self.device != "cpu"

    def total(self, name: str) -> float:
        return float(sum(getattr(one, name) for one in self._workers))

    def part(self, name: str, of_s: float) -> float:
        """Return what share of some seconds a counter is, at most 1."""
        return min(1.0, self.total(name) / of_s) if of_s > 0 else 0.0


def _hands(sums: _Sums) -> list[_Hands]:
    run_s, child_s = sums.run_s, sums.child_s
    decoding: dict[Resource, str] = {"storage": "read_s", "decode": "decode_s"}
    handing: dict[Resource, str] = {"hand-over": "hand_over_s"}
    model: dict[Resource, str] = {"model": "encode_s"}
    write = _shared(sums, {"write": "write_s"}, run_s)
    if not child_s:  # one thread reads and computes
        return [_shared(sums, {**decoding, **handing, **model}, run_s), write]
    decoders = _shared(sums, decoding, child_s)
    if sums.has_gpu:
        return [decoders, _shared(sums, handing, run_s), _shared(sums, model, run_s), write]
    return [decoders, _shared(sums, {**handing, **model}, run_s), write]


def _shared(sums: _Sums, names: Mapping[Resource, str], of_s: float) -> _Hands:
    """Return the shares of some seconds; clocks that disagree a little give no more than all."""
    of_s = max(of_s, sum(sums.total(name) for name in names.values()))
    return _Hands({resource: sums.part(name, of_s) for resource, name in names.items()})


def _sentence(found: Bottleneck, sums: _Sums) -> str:
    resource, share, decoders = found.resource, found.share, found.decoders
    is_gpu = found.device != "cpu"
    by_decoders = resource in ("storage", "decode") and decoders > 0
    whose = _count(decoders, "decoder") if by_decoders else _count(found.workers, "worker")
    time = f"the time of {whose}"
    if resource == "model":
        text = f"{'the GPU' if is_gpu else 'it'} computed {share:.0%} of {time}"
        if decoders:
            waiting = "the decoder" if decoders == 1 else "decoders"
            text += f"; {waiting} waited for it {found.blocked:.0%} of the time"
    else:
        text = f"{share:.0%} of {time}"
        if sums.total("encode_s"):
            who = "the GPU" if is_gpu else "the model"
            text += f"; {who} computed {found.computed:.0%} of the time"
    text = f"{resource}: {text}"
    if not found.is_clear:
        text = f"nothing for long; most of all {text}"
    return text if found.worked >= CLEAR else f"{text}; work was {found.worked:.0%} of the run"


def _advice(found: Bottleneck, option: str) -> str:
    if not found.is_clear:
        text = "a longer run, or more videos at a time"
        return f"{text}, for {found.decoders} decoders" if found.decoders > 1 else text
    if found.worked < CLEAR:
        return f"the listing and the start took most of the run; for the rest, {option}"
    return option


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)
