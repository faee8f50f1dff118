"""Listing a store: pages in parallel, in the order of the keys, with few requests."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.s3.requests import Requests
from vfeat.errors import StorageError
from vfeat.storage import Root, find_object, list_objects
from vfeat.storage.failures import FolderFound, MissingObject
from vfeat.storage.listing import list_source
from vfeat.storage.s3_listing import _chosen

FOLDERS = [f"top/{label}/{n}" for label in ("bär", "cat", "dog") for n in range(6)]
NESTED = ["top/a.mp4", *(f"{folder}/{n:02}.mp4" for folder in FOLDERS for n in range(9))]
NESTED += ["top/cat", "top/cat-1.mp4", "top/zebra.mp4"]


@pytest.fixture
def requests(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Requests:
    return Requests(bucket, monkeypatch)


def fill(root: Root, keys: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda key: root.create_bytes(key, key.encode()), keys))


def ranges(requests: Requests) -> int:
    started = [options for _, options in requests.asked if "StartAfter" in options]
    return len({options["StartAfter"] for options in started})


def test_ranges_come_in_order_and_once(bucket: str, requests: Requests) -> None:
    root = Root(bucket)
    fill(root, NESTED)
    requests.asked.clear()
    requests.page_keys = 4
    found = list(list_objects(f"{bucket}/top"))
    assert [listed.uri for listed in found] == sorted(map(root.url, NESTED))
    assert [found[0].size_bytes, found[0].etag] == [9, find_object(found[0].uri).etag]
    assert ranges(requests) > 8
    whole = len(NESTED) // 4
    assert requests.counts()["list_objects_v2"] < whole + ranges(requests) + 24


def test_a_glob_is_listed_by_ranges_too(bucket: str, requests: Requests) -> None:
    root = Root(bucket)
    fill(root, NESTED)
    requests.page_keys = 4
    found = [listed.uri for listed in list_objects(f"{bucket}/top/*/[13]/*1.mp4")]
    expected = [key for key in NESTED if key[-9:-7] in {"/1", "/3"} and key.endswith("1.mp4")]
    assert found == sorted(map(root.url, expected)) and len(found) == 6
    assert ranges(requests) > 4


def test_a_chain_of_single_folders_is_followed_to_where_it_branches(
    bucket: str, requests: Requests
) -> None:
    root = Root(bucket)
    keys = [f"a/b/c/{folder}/{n}.mp4" for folder in "klmn" for n in range(9)]
    fill(root, keys)
    requests.page_keys = 4
    assert [listed.uri for listed in list_objects(bucket)] == sorted(map(root.url, keys))
    assert ranges(requests) == 4


def test_a_flat_prefix_costs_its_pages(bucket: str, requests: Requests) -> None:
    root = Root(bucket)
    keys = [f"a/{number:02}" for number in range(23)]
    fill(root, keys)
    requests.asked.clear()
    assert len(list(list_objects(f"{bucket}/a/"))) == 23
    assert requests.counts() == {"list_objects_v2": 1}
    requests.asked.clear()
    requests.page_keys = 5
    assert [listed.uri for listed in list_objects(f"{bucket}/a/")] == [root.url(k) for k in keys]
    assert requests.counts() == {"list_objects_v2": 6}  # and one to find no folders


def test_many_small_folders_are_not_asked_for_one_by_one(bucket: str, requests: Requests) -> None:
    root = Root(bucket)
    fill(root, [f"{number:02}/a.mp4" for number in range(60)])
    requests.asked.clear()
    requests.page_keys = 20
    assert len(list(list_objects(bucket))) == 60
    assert requests.counts()["list_objects_v2"] <= 8


def test_cuts_are_as_many_as_pages_need() -> None:
    folders = [f"{number:04}/" for number in range(1000)]
    assert _chosen(folders, "0499/x") == []
    assert 20 < len(_chosen(folders, "0010/x")) < 30
    assert 100 < len(_chosen(folders, "0000/x")) <= 128
    assert _chosen(folders[:5], "0000/x") == folders[1:5]


def test_a_range_that_fails_ends_the_listing(bucket: str, requests: Requests) -> None:
    fill(Root(bucket), NESTED)
    requests.page_keys = 4
    requests.refused = "top/dog/"
    found = []
    with pytest.raises(StorageError, match="refused"):
        found += [listed.uri for listed in list_objects(f"{bucket}/top")]
    before = threading.active_count()
    pages = list_source(f"{bucket}/top").pages
    with pytest.raises(StorageError, match="refused"):
        for page in pages:
            found += page.uris
    assert found[0].endswith("top/a.mp4") and len(found) > 50
    await_threads(before)


def test_an_abandoned_listing_leaves_no_thread(bucket: str, requests: Requests) -> None:
    fill(Root(bucket), NESTED)
    requests.page_keys = 4
    before = threading.active_count()
    pages = iter(list_source(f"{bucket}/top").pages)
    for _ in range(3):
        next(pages)
    pages.close()  # type: ignore[attr-defined]
    await_threads(before)


def await_threads(most: int) -> None:
    deadline_s = time.monotonic() + 30
    while threading.active_count() > most and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert threading.active_count() <= most


def test_one_object_is_found_with_one_head(bucket: str, requests: Requests) -> None:
    root = Root(bucket)
    fill(root, ["a/b.mp4", "a/b"])
    requests.asked.clear()
    (listed,) = list_objects(root.url("a/b.mp4"))
    requests.asked.clear()
    assert find_object(root.url("a/b.mp4")) == listed
    assert requests.counts() == {"head_object": 1}
    for name, error in (("a/none", MissingObject), ("a", FolderFound)):
        requests.asked.clear()
        with pytest.raises(error):
            find_object(root.url(name))
        assert requests.counts() == {"head_object": 1, "list_objects_v2": 1}
    with pytest.raises(StorageError, match="has no bucket 'no-such-bucket'"):
        find_object("s3://no-such-bucket/a.mp4")
