"""The packaged class names: as many as there are classes, each once, in the right order."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vfeat.labels import LABEL_SETS, digest, label_set, set_of_size

KNOWN = [
    # hoverboarding.mp4 is an example of VideoMamba's own demo
    ("k400", 0, "riding a bike"),
    ("k400", 207, "hoverboarding"),
    ("k400", 341, "abseiling"),
    ("k400", 399, "playing badminton"),
    ("k400-alphabetical", 0, "abseiling"),
    ("k400-alphabetical", 399, "zumba"),
    ("ssv2", 0, "Approaching something with your camera"),
    # validation videos 116154 and 74225, and their numbers in the official lists
    ("ssv2", 127, "Showing something on top of something"),
    ("ssv2", 140, "Spinning something that quickly stops spinning"),
    ("ssv2", 173, "Wiping something off of something"),
    ("imagenet", 0, "tench"),
    ("imagenet", 281, "tabby"),
    ("imagenet", 999, "toilet tissue"),
]


@pytest.mark.parametrize("name", LABEL_SETS)
def test_each_class_has_one_name_of_its_own(name: str) -> None:
    names = label_set(name)
    assert len(names) == len(set(names)) == LABEL_SETS[name]
    assert all(label and label == label.strip() for label in names)


@pytest.mark.parametrize(("name", "number", "label"), KNOWN)
def test_known_classes_have_their_numbers(name: str, number: int, label: str) -> None:
    assert label_set(name)[number] == label


def test_the_two_orders_of_kinetics_hold_the_same_names() -> None:
    ours, alphabetical = label_set("k400"), label_set("k400-alphabetical")
    assert alphabetical == tuple(sorted(ours)) != ours
    assert set_of_size(400) == "k400"
    assert digest(ours) != digest(alphabetical)


def test_an_unknown_set_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="k700"):
        label_set("k700")
    assert set_of_size(13) is None


def test_names_need_nothing_heavy() -> None:
    code = (
        "import sys; from vfeat.labels import label_set; label_set('k400'); "
        "assert not {'torch', 'pydantic', 'fsspec', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
