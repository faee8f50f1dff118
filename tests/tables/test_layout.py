"""Names under a dataset root have no ceiling, and a missing plan is a sentence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vfeat.errors import StorageError
from vfeat.storage.root import Root
from vfeat.tables.layout import in_order, plan_name, plan_names, shard_name, shard_names
from vfeat.tables.plans import plan_list


def test_shards_beyond_99999_are_commits_too_and_in_order() -> None:
    numbers = [0, 9, 99_998, 99_999, 100_000, 100_001, 1_234_567]
    shards = [shard_name(plan_name(plan), n) for plan in (1, 2, 100_000) for n in numbers]
    listing = {f"{shard}.parquet": 1 for shard in shards}
    shuffled = dict(random.Random(3).sample(sorted(listing.items()), len(listing)))
    assert shard_names(shuffled) == shards
    assert in_order(reversed(shards)) == shards
    assert plan_names({f"{plan_name(n)}.parquet": 1 for n in (100_000, 2)}) == ["p00002", "p100000"]
    strangers = ["p00001-00001.parquet.tmp", "p1-2.parquet", ".tmp-p00001-00001.parquet", "x"]
    assert shard_names(dict.fromkeys(strangers, 1)) == []


def test_a_plan_that_was_deleted_is_named(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    for number in (1, 2, 3):
        root.create_bytes(f"plans/{plan_name(number)}.parquet", b"a plan")
    assert plan_list(root) == ["p00001", "p00002", "p00003"]
    root.delete("plans/p00002.parquet")
    with pytest.raises(StorageError, match=r"plans/p00002\.parquet is not there"):
        plan_list(root)
