"""What happened in a run, as lines of JSON: `logs/<run>.jsonl`."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

from vfeat.addresses import without_secrets
from vfeat.errors import VfeatError
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables import layout

MOST_LINES = 50_000  # a storm of events must not fill a store
EVERY_S = 60.0
PROGRESS_S = 1.0  # between two sums at first; then a share of the run's time
PROGRESS_SHARE = 0.01


class RunLog:
    """Collector of events, written whole every minute and at the end; several threads may add."""

    def __init__(self, root: Root, run: str) -> None:
        self._root = root
        self._key = f"{layout.LOGS}/{run}.jsonl"
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._written = 0
        self._written_s = self._began_s = self._progress_s = here().now_s()

    def add(self, event: str, **fields: object) -> None:
        """Add an event with its fields, in which addresses become public, and the time."""
        now = datetime.fromtimestamp(here().wall_s(), UTC).isoformat(timespec="milliseconds")
        with self._lock:
            if len(self._lines) < MOST_LINES:
                line = without_secrets({"time": now, "event": event, **fields})
                self._lines.append(json.dumps(line, ensure_ascii=False, default=str))

    def progress(self, **sums: int) -> None:
        """Add the running sums, in steps that grow with the run: some hundred lines a run."""
        now_s = here().now_s()
        step_s = max(PROGRESS_S, PROGRESS_SHARE * (now_s - self._began_s))
        if now_s - self._progress_s >= step_s:
            self._progress_s = now_s
            self.add("progress", **sums)

    def keep_up(self) -> None:
        """Write what is due; to be called often."""
        if here().now_s() - self._written_s > EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write all events so far; a store that is away costs no run anything here."""
        self._written_s = here().now_s()
        with self._lock:
            lines = list(self._lines)
        if len(lines) == self._written:
            return
        try:
            self._root.replace_bytes(self._key, ("\n".join(lines) + "\n").encode())
            self._written = len(lines)
        except VfeatError:
            return
