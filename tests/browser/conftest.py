"""The browser of these tests; without one they skip."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.chromium import NAMES, Chromium, chromium, installed


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    if (program := installed()) is None:
        pytest.skip(f"no browser is installed here ({', '.join(NAMES)})")
    with chromium(program) as running:
        yield running
