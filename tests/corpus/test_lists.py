"""CSV and Parquet lists, read into one table with one type for each column."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfeat.corpus import Corpus, FixedType, iter_corpus
from vfeat.errors import JobError
from vfeat.storage import Root


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def column(tmp_path: Path, *cells: str, **types: pa.DataType) -> list[Any]:
    """Read a CSV column of these cells."""
    text = io.StringIO()
    csv.writer(text).writerows([["uri", "x"], *([f"{n}.mp4", c] for n, c in enumerate(cells))])
    fixed = {name: FixedType(kind, "OUT") for name, kind in types.items()}
    source = write(tmp_path / "list.csv", text.getvalue())
    return [video.extra["x"] for video in Corpus([source], fixed).videos()]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["3", "-7", ""], [3, -7, None]),
        (["00042", "7"], ["00042", "7"]),
        (["+3", "4"], ["+3", "4"]),
        (["1.5", "2.0"], [1.5, 2.0]),
        (["1.5", "2"], [1.5, 2.0]),
        (["1.10", "1.2"], ["1.10", "1.2"]),
        (["1", "1.0"], ["1", "1.0"]),
        (["9223372036854775807"], [9223372036854775807]),
        (["18446744073709551615"], ["18446744073709551615"]),
        (["nan", "inf"], ["nan", "inf"]),
        (["true", "false"], ["true", "false"]),
        (["2024-01-31", "NA"], ["2024-01-31", "NA"]),
        (["3", "cat", ""], ["3", "cat", None]),
        ([" 3", "4"], [" 3", "4"]),
        (["", ""], [None, None]),
    ],
)
def test_text_stays_text(tmp_path: Path, cells: list[str], values: list[Any]) -> None:
    found = column(tmp_path, *cells)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_column_has_one_type_however_long_the_list_is(tmp_path: Path) -> None:
    numbers = [str(n) for n in range(120_000)]
    assert column(tmp_path, *numbers) == list(range(120_000))
    assert column(tmp_path, *numbers, "00042") == [*numbers, "00042"]


def test_uris_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    for name in ("0007", "1e5", "12"):
        write(tmp_path / name, "video")
    source = write(tmp_path / "list.csv", "uri\n0007\n1e5\n12\n")
    found = list(iter_corpus([source]))
    assert [video.uri for video in found] == [str(tmp_path / n) for n in ("0007", "1e5", "12")]
    assert [video.problem for video in found] == [None] * 3


def test_any_quoting_and_size_is_read(tmp_path: Path) -> None:
    random.seed(5)
    letters = "ab ,\"\n\r;\t映像é'"
    cells = ["".join(random.choices(letters, k=random.randrange(1, 90))) for _ in range(40_000)]
    cells = [cell if cell.strip() else "x" for cell in cells]
    cells[3] = "long " * 60_000
    for ending in ("\n", "\r\n"):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=ending, quoting=csv.QUOTE_ALL)
        writer.writerow(["uri", "x"])
        writer.writerows((f"{n}.mp4", cell) for n, cell in enumerate(cells))
        blank = text.getvalue() + ending + ending
        assert len(blank) > 1 << 20
        source = write(tmp_path / "list.csv", b"\xef\xbb\xbf" + blank.encode())
        assert [video.extra["x"] for video in iter_corpus([source])] == cells


def test_bytes_that_are_no_text_change_one_cell_only(tmp_path: Path) -> None:
    source = write(tmp_path / "list.csv", "uri,x\na.mp4,café\n".encode() + b"b.mp4,caf\xe9\n")
    assert [video.extra["x"] for video in iter_corpus([source])] == ["café", "caf\ufffd"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("uri;title\na.mp4;x\n", "needs a column named uri; found: uri;title"),
        ("uri,title\na.mp4,x\n".encode("utf-16"), "is UTF-16; save the list as UTF-8"),
        ("uri,title\na.mp4,x\nb.mp4\n", "row 2 has 1 cells, the header 2: b.mp4"),
        ("uri,title\na.mp4,x,y\n", "row 1 has 3 cells, the header 2: a.mp4,x,y"),
        ('uri\n"a.mp4\nb.mp4\nc.mp4\n', "line 4.*quotation mark not closed"),
        ('uri,title\n"a".mp4,x\n', "line 2.*quotation mark"),
        ("uri,x,x\na.mp4,1,2\n", "more than one column is named 'x'"),
        ("", "the list is empty"),
        ("\n\n", "the list is empty"),
        ("uri,title\n", "the list is empty"),
    ],
)
def test_a_wrong_csv_is_a_sentence(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    source = write(tmp_path / "list.csv", content)
    with pytest.raises(JobError, match=sentence) as told:
        Corpus([source])
    assert source in str(told.value)


FLOATS = pa.list_(pa.float32())
HARD: dict[str, pa.Array] = {
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "uint64": pa.array([2**64 - 1, 0], pa.uint64()),
    "nested": pa.array([[{"a": [1.5]}], None], pa.list_(pa.struct([("a", FLOATS)]))),
    "large": pa.array(["x", None], pa.large_string()),
    "decimal": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
    "seconds": pa.array([1, None], pa.timestamp("s", "Europe/Berlin")),
    "nanoseconds": pa.array([1_000_001, None], pa.timestamp("ns")),
    "date": pa.array([dt.date(2024, 1, 31), None]),
    "nothing": pa.nulls(2),
    "float32": pa.array([0.1, float("nan")], pa.float32()),
    "binary": pa.array([b"\xff", None]),
    "dictionary": pa.array(["x", None]).dictionary_encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_a_parquet_column_keeps_its_values_or_is_refused(tmp_path: Path, name: str) -> None:
    given = HARD[name]
    source = str(tmp_path / "list.parquet")
    pq.write_table(pa.table({"uri": ["a.mp4", "b.mp4"], "x": given}), source)
    try:
        corpus = Corpus([source])
    except JobError as refused:
        assert "'x'" in str(refused) and "cannot travel" in str(refused)
        assert name == "nanoseconds"  # Python has no type for them, unless pandas is there
        return
    given = pq.read_table(source).column("x").combine_chunks()  # Parquet has no seconds
    values = [video.extra["x"] for video in corpus.videos()]
    kind = corpus.column_types.get("x", pa.null())
    plain = given.dictionary_decode() if pa.types.is_dictionary(given.type) else given
    assert kind == plain.type
    assert repr(pa.array(values, kind).to_pylist()) == repr(plain.to_pylist())


def test_a_parquet_list_names_its_videos_as_text(tmp_path: Path) -> None:
    source = str(tmp_path / "list.parquet")
    for uris in (
        pa.array(["0007", None]).dictionary_encode(),
        pa.array(["0007", None], pa.large_string()),
        pa.array([b"0007", None]),
    ):
        pq.write_table(pa.table({"uri": uris}), source)
        assert [video.uri for video in iter_corpus([source])] == [str(tmp_path / "0007"), ""]
    pq.write_table(pa.table({"uri": [7]}), source)
    with pytest.raises(JobError, match="the column uri is of type int64; expected text"):
        Corpus([source])


def spark_output(root: Root) -> None:
    """Files as Spark leaves them."""
    for number, label in enumerate(("cat", "dog", "007")):
        buffer = io.BytesIO()
        uris = [f"/videos/{label}-{n}.mp4" for n in range(2)]
        pq.write_table(pa.table({"uri": uris, "n": [number, number]}), buffer)
        key = f"list.parquet/label={label}/part-0000{number}.snappy.parquet"
        root.create_bytes(key, buffer.getvalue())
        root.create_bytes(f"list.parquet/label={label}/.part-0000{number}.crc", b"crc")
    root.create_bytes("list.parquet/_SUCCESS", b"")
    root.create_bytes("list.parquet/_metadata.parquet", b"no data")


def test_a_parquet_list_may_be_a_folder(tmp_path: Path) -> None:
    spark_output(Root(str(tmp_path)))
    found = list(iter_corpus([str(tmp_path / "list.parquet")]))
    assert sorted((v.uri, v.extra["n"], v.extra["label"]) for v in found) == sorted(
        (f"/videos/{label}-{n}.mp4", number, label)
        for number, label in enumerate(("cat", "dog", "007"))
        for n in range(2)
    )


def test_a_parquet_list_may_be_a_prefix(bucket: str, tmp_path: Path) -> None:
    spark_output(Root(f"{bucket}/lists"))
    spark_output(Root(str(tmp_path)))
    there, here = (
        sorted((v.uri, v.extra["n"], v.extra["label"]) for v in iter_corpus([source]))
        for source in (f"{bucket}/lists/list.parquet", str(tmp_path / "list.parquet"))
    )
    assert there == here


def test_a_folder_without_a_list_is_a_sentence(tmp_path: Path) -> None:
    for name, sentence in (("a.csv", "is a folder.*one CSV file"), ("a.parquet", "list is empty")):
        (tmp_path / name).mkdir()
        with pytest.raises(JobError, match=sentence):
            Corpus([str(tmp_path / name)])
    empty = tmp_path / "b.parquet"
    pq.write_table(pa.table({"uri": pa.array([], pa.string())}), empty)
    with pytest.raises(JobError, match=r"b\.parquet: the list is empty"):
        Corpus([str(empty)])


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["3", "4"], pa.string(), ["3", "4"]),
        (["2.0", "00042"], pa.string(), ["2.0", "00042"]),
        (["3", ""], pa.float64(), [3.0, None]),
        (["2.0"], pa.int64(), [2]),
        (["2024-01-31"], pa.date32(), [dt.date(2024, 1, 31)]),
        (["", ""], pa.int64(), [None, None]),
        (["200"], pa.uint8(), [200]),
    ],
)
def test_a_later_list_takes_the_type_that_is_there(
    tmp_path: Path, cells: list[str], kind: pa.DataType, values: list[Any]
) -> None:
    assert column(tmp_path, *cells, x=kind) == values


@pytest.mark.parametrize(
    ("cells", "kind", "value"),
    [
        (["3", "cat"], pa.int64(), "row 2: 'cat'"),
        (["00042"], pa.int64(), "row 1: '00042'"),
        (["2.5"], pa.int64(), "row 1: '2.5'"),
        (["300"], pa.uint8(), "row 1: '300'"),
        (["9007199254740993"], pa.float64(), "row 1: '9007199254740993'"),
        (["x"], pa.list_(pa.string()), "row 1: 'x'"),
    ],
)
def test_a_later_list_that_would_lose_something_is_refused(
    tmp_path: Path, cells: list[str], kind: pa.DataType, value: str
) -> None:
    with pytest.raises(JobError, match=value) as told:
        column(tmp_path, *cells, x=kind)
    for part in (str(tmp_path / "list.csv"), "'x'", str(kind), "OUT", "another --out"):
        assert part in str(told.value)


def test_two_lists_of_one_command_agree_on_types(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", "uri,x\na.mp4,3\n")
    two = write(tmp_path / "two.csv", "uri,x\nb.mp4,cat\n")
    with pytest.raises(JobError, match=r"two\.csv: column 'x' holds string .*int64 in .*one\.csv"):
        Corpus([one, two])
    assert [video.extra["x"] for video in Corpus([two, one]).videos()] == ["cat", "3"]


def test_rows_that_say_the_same_are_one_and_others_are_refused(tmp_path: Path) -> None:
    head = "uri,label,score\n"
    same = write(tmp_path / "same.csv", f"{head}a.mp4,cat,\n./a.mp4,cat,\n{tmp_path}/a.mp4,cat,\n")
    Corpus([same]).refuse_contradictions()
    other = write(tmp_path / "other.csv", f"{head}a.mp4,cat,1\nb.mp4,cat,1\n./a.mp4,dog,1\n")
    with pytest.raises(JobError, match=r"row 3 names ./a.mp4 with label = 'dog', .*row 1 .*'cat'"):
        Corpus([other]).refuse_contradictions()
    second = write(tmp_path / "second.csv", "uri,year\na.mp4,1999\n")
    with pytest.raises(JobError, match=r"row 1 names a\.mp4 with"):
        Corpus([same, second]).refuse_contradictions()
    nameless = write(tmp_path / "nameless.csv", f"{head},cat,1\n,dog,2\n")
    Corpus([nameless]).refuse_contradictions()


def test_rows_with_nan_may_repeat(tmp_path: Path) -> None:
    source = str(tmp_path / "list.parquet")
    pq.write_table(pa.table({"uri": ["a.mp4"] * 2, "x": [float("nan")] * 2}), source)
    Corpus([source]).refuse_contradictions()
