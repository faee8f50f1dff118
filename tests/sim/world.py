"""One simulation: a world drawn from a seed, commands that a user repeats, and the judgement."""

from __future__ import annotations

import itertools
import math
import os
import random
import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from tests.sim import laws
from tests.sim.cluster import Cluster, Fates
from tests.sim.corpus import Archive, films_of
from tests.sim.ending import Ending
from tests.sim.kernel import Endless, Kernel, Killed, Process, Simulated
from tests.sim.machines import SimulatedMachines
from tests.sim.store import Store, Weather
from vfeat.engine.cluster_executor import ClusterExecutor, ClusterSettings
from vfeat.engine.watch import Watch
from vfeat.engine.worker_places import Wanted
from vfeat.errors import VfeatError
from vfeat.extract.run import ExtractRun
from vfeat.job.spec import ExtractJob, parse_extract
from vfeat.storage import object_root, retry
from vfeat.storage.remote import adopted
from vfeat.storage.root import Root
from vfeat.surroundings import use

OUT = "s3://out/data"
LONGEST_S = 50 * 3600.0  # of a night with all its faults
CALM_S = 3600.0  # of a run without faults
TRIES = 4  # of a command while faults go on
SHARES = {
    "die": 0.2, "die_after": 0.15, "raise_": 0.1, "oom": 0.1, "full": 0.1, "hang": 0.1,
    "slow": 0.1, "late_answer": 0.2, "bad_start": 0.2, "slow_start": 0.2,
    "zombie": 0.8, "cluster": 0.001,
}  # fmt: skip
STORMS = {"refused": 0.1, "lost": 0.1, "late": 0.1, "denied": 0.002}
MOODS = {"unreadable": 0.2, "killer": 0.15, "broken": 0.2}


@dataclass
class Report:
    """What came of a seed.

    Attributes:
        findings: broken laws; empty when all is well.
    """

    seed: int
    findings: list[str]
    faults: Counter[str]
    runs: int
    virtual_s: float
    digest: str
    lines: list[str] = field(default_factory=list)


class Notes(Watch):
    """Watch of a simulated command."""

    def __init__(self, kernel: Kernel, driver: str) -> None:
        self._kernel, self._driver = kernel, driver
        self.silences = self.deaths = 0

    def note(self, text: str) -> None:
        self.silences += "no sign of life" in text and "lost with its node" not in text
        self.deaths += " died: " in text
        said = re.sub(r" \(process \d+ on [^)]*\)", "", text)  # the only thing from this machine
        self._kernel.trace(self._driver, "notes:", said)


class World:
    """Store, corpus and cluster of one seed.

    Args:
        folder: for the list of the corpus.
    """

    def __init__(self, seed: int, folder: Path, *, keep_trace: bool = False) -> None:
        self.kernel = kernel = Kernel(seed, keep_trace=keep_trace)
        self.store = Store(kernel, self._weather())
        moods = {name: self._share(most) for name, most in MOODS.items()}
        self.archive = Archive(kernel, self.store, folder / "list.parquet", moods=moods)
        fates = {name: self._share(most) for name, most in SHARES.items()}
        if not self.store.weather.is_conditional:
            fates["zombie"] = 0.0  # two writers of one key need a store that refuses one of them
        if seed % 4 == 2:
            fates["sudden"] = 0.5 * random.Random(seed).random()
        pace = kernel.chance.choice([1.0, 1.0, 5.0, 15.0])
        self.cluster = Cluster(kernel, self.archive, Fates(**fates), pace)
        self.names = (f"f{number}" for number in itertools.count())
        self.drivers = (f"d{number}" for number in itertools.count(1))
        self.is_healed = False
        self.runs = 0
        self.findings: list[str] = []
        self.workers = kernel.chance.choice([None, None, 1, 2, 3])
        self.minutes = kernel.chance.choice([0.01, 0.02, 0.05])
        self.patience_s = kernel.chance.choice([2.0, 20.0, 120.0])

    def _share(self, most: float) -> float:
        """Draw how often something happens in this world; half of all things never do."""
        chance = self.kernel.chance
        return most * chance.random() ** chance.choice([1, 3]) if chance.random() < 0.5 else 0.0

    def _weather(self) -> Weather:
        chance = self.kernel.chance
        is_conditional = chance.random() < 0.85
        shares = {name: self._share(most) for name, most in STORMS.items()}
        if not is_conditional:
            shares["late"] = 0.0
        outages, at_s = [], 0.0
        if chance.random() < 0.4:
            for _ in range(chance.randint(1, 4)):
                at_s += chance.uniform(5, 300)
                end_s = at_s + math.exp(chance.uniform(0, math.log(150)))
                outages.append((at_s, end_s))
                at_s = end_s
        lag_s = chance.uniform(1, 20) if chance.random() < 0.15 else 0.0
        page_keys = 3 if chance.random() < 0.2 else 1000
        latency_s = chance.choice([0.005, 0.02, 0.2])
        return Weather(
            latency_s, outages=outages, lag_s=lag_s, page_keys=page_keys,
            is_conditional=is_conditional, **shares,
        )  # fmt: skip

    # the story

    def play(self) -> None:
        """Let some nights pass, then one without faults, and judge."""
        kernel, chance = self.kernel, self.kernel.chance
        for _ in range(chance.randint(1, 4)):
            self.cluster.join()
        films_of(self.archive, self.names, chance.randint(2, 9))
        kernel.at(5.0, self._move_nodes)
        for night in range(chance.choice([1, 1, 2, 3])):
            if night:
                self._change_corpus()
            self._night()
            if self.findings:
                return
        self._calm_night()

    def _night(self) -> None:
        retry = self.is_healed and self.kernel.happens(0.5)
        for _ in range(TRIES):
            count = 2 if self._may_be_two() and self.kernel.happens(0.3) else 1
            endings = self._launch(count, retry=retry, is_calm=False)
            for ending in endings:
                self._judge_ending(ending)
            if self.findings:
                return
            if all(ending.code in (0, 3) for ending in endings):
                if len(endings) == 1 and not self.store.weather.lag_s:
                    self.findings += laws.unfinished(Root(OUT))
                return

    def _may_be_two(self) -> bool:
        return self.store.weather.is_conditional

    def _calm_night(self) -> None:
        """Repeat the command when all troubles are over."""
        kernel = self.kernel
        self.cluster.fates = Fates()
        self.store.weather = Weather(
            page_keys=self.store.weather.page_keys, is_conditional=self.store.was_conditional
        )
        kernel.pass_time(400.0)  # late writes arrive
        if not self.cluster.living:
            self.cluster.join()
        for _ in range(2):
            self.is_healed = self.is_healed or False
            (ending,) = self._launch(1, retry=self.is_healed, is_calm=True)
            self._judge_ending(ending)
            if ending.code not in (0, 3):
                self.findings.append(f"without faults the command ends with {ending}")
                return
            break
        self.findings += laws.broken(Root(OUT), self.store, self.archive)

    def _change_corpus(self) -> None:
        chance, archive = self.kernel.chance, self.archive
        before = dict(archive.films)
        for name in list(archive.films):
            draw = chance.random()
            if draw < 0.1:
                archive.change(name)
            elif draw < 0.2 and len(archive.films) > 1:
                archive.remove(name)
        films_of(archive, self.names, chance.randint(0, 4))
        gone = [film for film in archive.every.values() if film.name not in archive.films]
        if gone and chance.random() < 0.3 and gone[0].name not in before:
            film = chance.choice(gone)
            archive.put(film)
            self.is_healed = True  # what failed while it was gone is an error until it is retried
        if chance.random() < 0.4:
            archive.heal()
            self.is_healed = True

    def _move_nodes(self) -> None:
        """Let nodes go and come, as long as there are faults."""
        if self.cluster.fates == Fates():
            return
        chance, cluster = self.kernel.chance, self.cluster
        draw = chance.random()
        if draw < 0.15 and cluster.living:
            cluster.leave(chance.choice(cluster.living))
        elif (draw < 0.4 and len(cluster.living) < 5) or not cluster.living:
            cluster.join()
        self.kernel.at(chance.uniform(5, 120), self._move_nodes)

    # commands

    def job(self, retry: bool) -> ExtractJob:
        """Return the job that the user gives."""
        return parse_extract(
            {
                "model": "videomamba", "model_options": {"embed_dim": 16, "depth": 1},
                "weights": "random", "size": 32, "num_frames": 4, "clip_seconds": 1.0,
                "device": "cpu", "sources": [str(self.archive.list_path)], "out": OUT,
                "shard_minutes": self.minutes, "decode_workers": 1, "top_k": 0,
                "storage_patience_seconds": self.patience_s,
                "breaker_first_units": 100_000, "breaker_error_share": 1.0,
                "retry_errors": ["all"] if retry else None,
            }
        )  # fmt: skip

    def _launch(self, count: int, *, retry: bool, is_calm: bool) -> list[Ending]:
        """Start so many drivers, and let them end."""
        kernel, chance = self.kernel, self.kernel.chance
        self.archive.write_list()
        endings: list[Ending] = []
        for number in range(count):
            driver = next(self.drivers)
            kill_at = None
            if not is_calm and kernel.happens(0.5):
                kill_at = int(math.exp(chance.uniform(math.log(5), math.log(800))))
            process = Process(driver, kill_at)
            wait_s = chance.uniform(0, 30) if number else 0.0

            def work(process: Process = process, wait_s: float = wait_s) -> None:
                kernel.sleep(wait_s)
                self._drive(process, self.job(retry), is_calm, endings)

            kernel.spawn(process, "main", work)
            self.runs += 1
        if not is_calm and kernel.happens(0.2):
            kernel.at(chance.uniform(1, 60), self._change_one)
        kernel.run(lambda: len(endings) == count, CALM_S if is_calm else LONGEST_S)
        return endings

    def _change_one(self) -> None:
        names = sorted(self.archive.films)
        name = self.kernel.chance.choice(names)
        self.kernel.fault("video changed", name)
        self.archive.change(name)

    def _drive(
        self, process: Process, job: ExtractJob, is_calm: bool, endings: list[Ending]
    ) -> None:
        kernel = self.kernel
        notes = Notes(kernel, process.name)
        machines = SimulatedMachines(self.cluster, process.name)
        executor = ClusterExecutor(
            machines, ClusterSettings(Wanted(self.workers, 1.0, "cpu")), is_local=False
        )
        code: int | None = None
        text = "killed"
        kernel.trace(process.name, "begins", "retry" if job.retry_errors else "")
        object_root._keeps.clear()  # a new process asks the store itself
        try:
            run = ExtractRun(job, notes, executor)
            if not is_calm and kernel.happens(0.1):
                kernel.at(kernel.chance.uniform(1, 90), lambda: self._interrupt(run))
            try:
                code = run.run().exit_code
                text = "done"
            finally:
                executor.close()
        except Killed:
            kernel.fault("driver killed", process.name, process.steps)
            raise
        except VfeatError as error:
            code, text = error.exit_code, f"{type(error).__name__}: {error}"
        except Exception:
            code, text = -1, traceback.format_exc()
        finally:
            process.is_dead = True
            self.cluster.release(process.name)
            kernel.trace(process.name, "ends", code, text.splitlines()[-1])
            endings.append(Ending(process.name, code, text, notes.silences, notes.deaths))

    def _interrupt(self, run: ExtractRun) -> None:
        if run.ledger is not None:
            self.kernel.fault("interrupt", run.name)
            run.interrupt()

    def _judge_ending(self, ending: Ending) -> None:
        told = self.cluster.told[ending.driver]
        self.findings += laws.of_a_run(ending, told)


def play(seed: int, *, keep_trace: bool = False) -> Report:
    """Play a seed to its end."""
    with simulated(seed, keep_trace=keep_trace) as world:
        try:
            world.play()
        except Endless as error:
            world.findings.append(f"endless: {error}")
        except Exception:
            world.findings.append(f"the simulation itself failed:\n{traceback.format_exc()}")
        finally:
            world.kernel.end()
    kernel = world.kernel
    return Report(
        seed, world.findings, kernel.faults, world.runs, kernel.now_s, kernel.digest(),
        kernel.lines or [],
    )  # fmt: skip


@contextmanager
def simulated(seed: int, *, keep_trace: bool) -> Iterator[World]:
    """Make a world and put this process into it."""
    with ExitStack() as stack:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vfeat-sim-", dir=memory))
        # nothing of it matters here, and all of it is looked through at each request
        stack.enter_context(mock.patch.dict(os.environ, clear=True))
        before, tempfile.tempdir = tempfile.tempdir, folder
        stack.callback(setattr, tempfile, "tempdir", before)
        world = World(seed, Path(folder), keep_trace=keep_trace)
        surroundings = Simulated(world.kernel)
        stack.enter_context(use(surroundings))
        _forget_the_store(stack, surroundings)
        stack.enter_context(adopted("s3://", world.store))
        yield world


def _forget_the_store(stack: ExitStack, surroundings: Simulated) -> None:
    """Leave out for a while what this process has learned of other worlds' stores."""
    stack.enter_context(mock.patch.dict(object_root._keeps, clear=True))
    stack.enter_context(mock.patch.object(object_root, "_asking", surroundings.lock()))
    stack.enter_context(mock.patch.object(retry, "_answered", set()))
