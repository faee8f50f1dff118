"""`vfeat browse` as a person starts and ends it."""

from __future__ import annotations

import http.client
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.engine.commands import run, start
from tests.search.made import add_file, make, vectors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_printed_address_answers_until_it_is_ended(tmp_path: Path, number: int) -> None:
    add_file(make(tmp_path / "out"), 0, vectors(2, 0))
    process = start("browse", tmp_path / "out", "--json")
    try:
        assert process.stdout is not None
        printed = "".join(iter(process.stdout.readline, "}\n")) + "}"
        address = urlsplit(json.loads(printed)["address"])
        assert address.hostname == "127.0.0.1" and len(address.path) > 30
        connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=120)
        connection.request("GET", f"{address.path}page/main.js")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    add_file(make(tmp_path / "out"), 0, vectors(2, 0))
    (tmp_path / "no.parquet").write_bytes(b"PAR1 not")
    for arguments, words in (
        ((tmp_path / "none",), "none"),
        ((tmp_path / "out", "--predictions", tmp_path / "out"), "vfeat classify"),
        ((tmp_path / "out", "--duplicates", tmp_path / "no.parquet"), "vfeat duplicates"),
    ):
        ended = run("browse", *arguments)
        assert ended.returncode == 2, ended.stderr
        assert words in ended.stderr and "Traceback" not in ended.stderr
