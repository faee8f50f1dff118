"""Everything that rounds share: corpora, the truth about them, a store, a small disk."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.command import Command
from tests.chaos.faults import Scene
from tests.chaos.rounds import KINDS, Result, Round, clear, possible, small_disk
from tests.chaos.scene import PLANTED, Truth, make_corpus, undisturbed, upload
from tests.s3.install import swift_bin
from tests.s3.proxy import Proxy
from tests.s3.server import S3Server


@dataclass
class Corpus:
    """Videos in a folder and in the bucket, and what comes of them."""

    folder: Path
    uri: str
    truth: Truth


class Stage:
    """A place for rounds.

    Args:
        folder: for everything.
        server: a running store, or None for rounds in folders only.
        disk: a small file system, or None where there can be none.
        slow: number of videos that take a second to open.
        ray_folder: of all Ray files, with a short path.
    """

    def __init__(
        self, folder: Path, server: S3Server | None, disk: Path | None, slow: int, ray_folder: str
    ) -> None:
        self._folder = folder
        self._server = server
        self._disk = disk
        self._slow = slow
        self._ray_folder = ray_folder
        self._bucket = f"s3://chaos-{uuid.uuid4().hex[:8]}"
        self._corpora: dict[bool, Corpus] = {}
        if server is not None:
            os.environ.update(server.environment)
            from vfeat.storage.remote import connect

            fs, name = connect(self._bucket)
            fs.call_s3("create_bucket", Bucket=name)

    def corpus(self, planted: bool) -> Corpus:
        """Return the corpus with or without videos that fail; made and run once."""
        if planted not in self._corpora:
            names = PLANTED if planted else ()
            folder = self._folder / f"corpus{planted:d}"
            make_corpus(folder, self._slow, names)
            uri = f"{self._bucket}/corpus{planted:d}"
            if self._server is not None:
                upload(folder, uri)
            truth = undisturbed(folder, self._folder / f"truth{planted:d}", names)
            self._corpora[planted] = Corpus(folder, uri, truth)
        return self._corpora[planted]

    def round(self, seed: str, faults: int, only: Collection[str] = KINDS) -> Result:
        """Carry a round out; its seed decides the faults, not the moment at which they meet.

        Args:
            only: kinds of faults to draw from.
        """
        dice = random.Random(seed)
        remote = self._server is not None and dice.random() < 0.5
        corpus = self.corpus(dice.random() < 0.2)
        log = self._folder / f"{seed}.log"
        kinds = possible(remote=remote, has_disk=self._disk is not None, only=only)
        if not kinds:
            remote = not remote
            kinds = possible(remote=remote, has_disk=self._disk is not None, only=only)
        drawn = [dice.choice(kinds) for _ in range(faults)]
        extra = {"RAY_TMPDIR": self._ray_folder}
        if self._disk is not None:
            extra["TMPDIR"] = str(self._disk)
        if remote:
            assert self._server is not None
            proxy = Proxy(self._server.ports["proxy"])
            extra["AWS_ENDPOINT_URL_S3"] = proxy.endpoint
            source, out = corpus.uri, f"{self._bucket}/{seed}"
        else:
            proxy, source = None, str(corpus.folder)
            out = str((self._disk or self._folder) / f"out-{seed}")
        command = Command(source, out, extra, log)
        scene = Scene(command, proxy, None if remote else self._disk, dice)
        try:
            return Round(scene, out, drawn, dice).run(corpus.truth)
        finally:
            command.kill()
            if proxy is not None:
                proxy.close()
            else:
                clear(Path(out))


@contextlib.contextmanager
def open_stage(folder: Path, slow: int, *, with_store: bool = True) -> Iterator[Stage]:
    """Start the store, mount the disk, and take both away afterwards."""
    short = tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp", ignore_cleanup_errors=True)
    with small_disk(folder / "disk") as disk, short as ray_folder:
        server = S3Server(folder / "s3", swift_bin()) if with_store else None
        try:
            if server is not None:
                server.configure()
                server.start()
            yield Stage(folder, server, disk, slow, ray_folder)
        finally:
            if server is not None:
                server.kill()
