"""A file of several jobs: names, settings, references, and every wrong field at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vfeat.errors import JobError
from vfeat.job.load import load_job, load_jobs
from vfeat.job.several import NamedJob

EXTRACT = {"kind": "extract", "sources": ["videos"], "out": "features"}
CLASSIFY = {"kind": "classify", "features": "${extract.out}", "out": "predictions"}


def loaded(folder: Path, *parts: dict[str, Any], sets: tuple[str, ...] = ()) -> list[NamedJob]:
    (folder / "jobs.yaml").write_text(yaml.safe_dump({"jobs": list(parts)}))
    return list(load_jobs(str(folder / "jobs.yaml"), sets))


def refused(folder: Path, *parts: dict[str, Any], sets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(JobError) as caught:
        loaded(folder, *parts, sets=sets)
    first, *lines = caught.value.lines
    assert first.startswith(f"job file {folder}")
    return [line.strip() for line in lines]


def test_a_reference_follows_what_it_names(tmp_path: Path) -> None:
    jobs = loaded(tmp_path, EXTRACT, CLASSIFY, sets=("extract.out=s3://b/f",))
    assert [named.name for named in jobs] == ["extract", "classify"]
    assert jobs[0].job.out == jobs[1].job.features == "s3://b/f"  # type: ignore[union-attr]
    inside = {**CLASSIFY, "out": "${extract.out}-predictions"}
    assert loaded(tmp_path, EXTRACT, inside)[1].job.out == "features-predictions"


def test_several_jobs_of_a_kind_have_numbers(tmp_path: Path) -> None:
    other = {**CLASSIFY, "out": "others"}
    jobs = loaded(tmp_path, EXTRACT, CLASSIFY, other, sets=("classify-2.top_k=7", "device=cpu"))
    assert [named.name for named in jobs] == ["extract", "classify-1", "classify-2"]
    assert [named.job.device for named in jobs] == ["cpu"] * 3
    assert [getattr(named.job, "top_k", None) for named in jobs] == [5, 5, 7]


@pytest.mark.parametrize(
    ("parts", "sets", "lines"),
    [
        (
            [{**EXTRACT, "siz": 3}, {**CLASSIFY, "heads": 3}], (),
            ["extract: siz: unknown field; did you mean 'size'?", "classify: heads: Input"],
        ),
        ([CLASSIFY, EXTRACT], (), ["classify: ${extract.out}: expected a field of a job before"]),
        ([EXTRACT, CLASSIFY], ("extrct.out=a",), ["no job 'extrct'; did you mean 'extract'?"]),
        ([EXTRACT, CLASSIFY], ("out=a",), ["classify: out: a is the out of extract too"]),
        ([EXTRACT, CLASSIFY], ("heads=[h]",), ["extract: heads: unknown field"]),
        ([{**EXTRACT, "kind": "dance"}], (), ["'dance' is not a job"]),
        ([], (), ["jobs: expected a list of jobs"]),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_job(
    tmp_path: Path, parts: list[dict[str, Any]], sets: tuple[str, ...], lines: list[str]
) -> None:
    found = refused(tmp_path, *parts, sets=sets)
    assert all(wanted in line for wanted, line in zip(lines, found[: len(lines)], strict=True))


def test_fields_beside_the_jobs_and_a_command_for_one_job_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump({"jobs": [EXTRACT], "out": "x"}))
    with pytest.raises(JobError, match="out: unknown beside jobs"):
        load_jobs(str(path))
    with pytest.raises(JobError, match="holds several jobs; run it with"):
        load_job(str(path))
