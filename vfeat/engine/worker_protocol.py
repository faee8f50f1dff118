"""Records that pass between the engine and its workers; free of torch, for the driver."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import Any

from vfeat.outcome import Outcome


@dataclass(frozen=True)
class UnitResult:
    """One unit's rows and outcome, before they are in a file; rows are of the stage's own type."""

    outcome: Outcome
    rows: tuple[Any, ...]


@dataclass(frozen=True)
class ShardReport:
    """Report of a finished lease.

    Attributes:
        ours: False when another attempt had committed the shard first.
        results: set only for a unit that was run alone.
    """

    shard: str
    outcomes: tuple[Outcome, ...]
    ours: bool
    busy_s: float
    result: UnitResult | None = None


@dataclass
class Progress:
    """Counters of a worker or feeder since its start; seconds are wall time.

    Attributes:
        device: "cpu", or the name of the card that the model is on.
        clips: of a worker: encoded; of a feeder: prepared.
        run_s: in which it had work to do: a lease, or of a feeder a task.
        encode_s: in which the model computed; of a GPU by its own clock.
        hand_over_s: in which the thread that runs the model copied clips, launched and read back.
        wait_s: of a worker: for clips; of a feeder: with clips that nobody takes.
        read_s: in which children waited for bytes of their videos, summed over children.
        decode_s: in which children decoded, summed over children; `read_s` and `blocked_s` are
            no part of it.
        blocked_s: in which children held finished clips that nobody took, summed over children.
        children: processes that decode here; 0 for work without any.
        child_s: what children could have worked: `children` times `run_s`, less their starts.
        store_waits: units that wait at present for a store that is away.
        fed_clips: of a worker: those that came from feeders, whose children are in its `read_s`,
            `decode_s` and `blocked_s`.
        feeds: of a worker: sessions of the feeders that it takes work from.
    """

    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    device: str = "cpu"
    clips: int = 0
    units: int = 0
    run_s: float = 0.0
    encode_s: float = 0.0
    hand_over_s: float = 0.0
    wait_s: float = 0.0
    read_s: float = 0.0
    decode_s: float = 0.0
    blocked_s: float = 0.0
    write_s: float = 0.0
    children: int = 0
    child_s: float = 0.0
    child_pids: tuple[int, ...] = ()
    child_rss_bytes: int = 0
    store_waits: int = 0
    fed_clips: int = 0
    feeds: tuple[int, ...] = ()
