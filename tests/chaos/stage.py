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
        server: a running store.
        disk: a small file system, or None where there can be none.
        slow: number of videos that take a second to open.
        ray_folder: of all Ray files, with a short path.
    """

    def __init__(
        self, folder: Path, server: S3Server, disk: Path | None, slow: int, ray_folder: str
    ) -> None:
        self._folder = folder
        self._server = server
        self._disk = disk
        self._slow = slow
        self._ray_folder = ray_folder
        self._bucket = f"s3://chaos-{uuid.uuid4().hex[:8]}"
        self._corpora: dict[bool, Corpus] = {}
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
        remote = dice.random() < 0.5
        planted = dice.random() < 0.2
        kinds = possible(remote=remote, has_disk=self._disk is not None, only=only)
        if not kinds:
            remote = not remote
            kinds = possible(remote=remote, has_disk=self._disk is not None, only=only)
        return self.act(
            seed, [dice.choice(kinds) for _ in range(faults)], remote=remote, planted=planted
        )

    def act(self, seed: str, kinds: list[str], *, remote: bool, planted: bool) -> Result:
        """Carry out a round with these faults.

        Args:
            remote: videos and output are in the store, not in folders.
            planted: some videos fail in ways of their own.
        """
        dice = random.Random(seed)
        corpus = self.corpus(planted)
        log = self._folder / f"{seed}.log"
        extra = {"RAY_TMPDIR": self._ray_folder}
        if self._disk is not None:
            extra["TMPDIR"] = str(self._disk)
        if remote:
            proxy = Proxy(self._server.ports["proxy"])
            extra["AWS_ENDPOINT_URL_S3"] = proxy.endpoint
            source, out = corpus.uri, f"{self._bucket}/{seed}"
        else:
            proxy, source = None, str(corpus.folder)
            out = str((self._disk or self._folder) / f"out-{seed}")
        command = Command(source, out, extra, log)
        scene = Scene(command, proxy, None if remote else self._disk, dice)
        try:
            return Round(scene, out, kinds, dice).run(corpus.truth)
        finally:
            command.kill()
            if proxy is not None:
                proxy.close()
            else:
                clear(Path(out))


@contextlib.contextmanager
def running_store(folder: Path) -> Iterator[S3Server]:
    """Start a store, and end it afterwards."""
    server = S3Server(folder, swift_bin())
    try:
        server.configure()
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def open_stage(folder: Path, slow: int, server: S3Server) -> Iterator[Stage]:
    """Mount the disk, and take it away afterwards; the environment leads to the store."""
    short = tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp", ignore_cleanup_errors=True)
    before = dict(os.environ)
    with small_disk(folder / "disk") as disk, short as ray_folder:
        try:
            yield Stage(folder, server, disk, slow, ray_folder)
        finally:
            os.environ.clear()
            os.environ.update(before)
