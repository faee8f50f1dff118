"""Words look for clips: a small dual encoder in the official format, over real videos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

import vfeat
from tests.engine.jobs import tiny_job, verified
from tests.models.retrieval_models import SMALL_MM
from vfeat.cli.app import app
from vfeat.engine.watch import Watch
from vfeat.errors import EnvironmentMissing, JobError, NodeDiffers
from vfeat.extract.run import ExtractRun
from vfeat.job.recipe import ClipSpec, FrameSpec
from vfeat.models import create_retrieval
from vfeat.models.weights import RANDOM
from vfeat.search.text_query import embed_text

CLIPS = Path(__file__).parents[1] / "clips"
NAMES = ("cfr25_bframes.mp4", "vfr.mp4", "vp9.webm")
OPTIONS = {k: v for k, v in SMALL_MM.items() if k not in ("img_size", "num_frames", "vocabulary")}
SENTENCE = "a dog runs on the beach"
SENTENCES = ("a dog runs on the beach", "a slow pan to the left", "two people talk")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as the official code writes them, with BERT's vocabulary."""
    file = tmp_path_factory.mktemp("weights") / "mm.pth"
    options = {**SMALL_MM, "vocabulary": 30522}
    torch.manual_seed(3)
    model = create_retrieval("videomamba_mm", **options)
    with torch.no_grad():
        for parameter in model.parameters():  # so that clips and sentences differ
            parameter.mul_(3) if parameter.dim() > 1 else parameter.add_(0.0)
        model.temp.fill_(0.07)
    teacher = {"clip_teacher.weight": torch.ones(3)}
    torch.save({"model": {**model.state_dict(), **teacher}, "epoch": 9}, file)
    return file


def command(*arguments: str | Path) -> Result:
    """The command line in this process; it need not load torch anew each time."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def answer_of(*arguments: str | Path) -> dict[str, Any]:
    """What a command prints with --json."""
    result = command(*arguments, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refusal(*arguments: str | Path) -> str:
    """The sentence with which a command refuses."""
    refused = command(*arguments).exception
    assert isinstance(refused, JobError), refused
    return str(refused)


def mm_job(out: Path, weights: Path | str, **fields: Any) -> Any:
    sources = [CLIPS / name for name in NAMES]
    words = {"model": "videomamba_mm", "model_options": OPTIONS, "weights": str(weights)}
    return tiny_job(out, *sources, **{**words, "clip_seconds": 0.5, **fields})


def extract(job: Any) -> None:
    stage = ExtractRun(job, Watch())
    try:
        assert stage.run().exit_code == 0
    finally:
        stage.close()


@pytest.fixture(scope="module")
def out(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "out"
    labels = folder.parent / "sentences.txt"
    labels.write_text("\n".join(SENTENCES) + "\n")
    extract(mm_job(folder, weights, label_names=str(labels)))
    return folder


def rows(out: Path) -> list[dict[str, Any]]:
    found = pads.dataset(out / "features", format="parquet").to_table().to_pylist()
    return sorted(found, key=lambda row: (row["uri"], row["clip_index"]))


def test_the_recipe_is_that_of_words_and_video(out: Path, weights: Path, tmp_path: Path) -> None:
    verified(out)
    recipe = vfeat.open(str(out)).recipe
    assert (recipe.frame.resize, recipe.frame.fit) == ("bicubic", "squash")
    assert {len(row["embedding"]) for row in rows(out)} == {SMALL_MM["joint_dim"]}
    own = mm_job(tmp_path, weights, clip_seconds=None, num_frames=None, size=None)
    chosen = ExtractRun(replace_size(own), Watch()).recipe
    assert chosen.clip == ClipSpec(8, 8.0, 8.0)
    assert chosen.frame == FrameSpec(224, "bicubic", fit="squash")
    said = mm_job(tmp_path, weights, resize="area", fit="crop", crops=3)
    assert ExtractRun(said, Watch()).recipe.frame == FrameSpec(32, "area", crops=3)
    with pytest.raises(JobError, match=r"--crops 3.*--fit crop"):
        ExtractRun(mm_job(tmp_path, weights, crops=3), Watch())
    with pytest.raises(JobError, match=r"--tokens: videomamba_mm embeds clips beside sentences"):
        ExtractRun(mm_job(tmp_path, weights, tokens="patch"), Watch())


def replace_size(job: Any) -> Any:
    return job.model_copy(update={"model_options": {}})


def test_text_finds_what_brute_force_finds(out: Path) -> None:
    dataset = vfeat.open(str(out))
    query = embed_text(dataset.recipe, [SENTENCE], "cpu")
    assert query.shape == (1, SMALL_MM["joint_dim"]) and query.dtype == np.float32
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    stored = np.array([row["embedding"] for row in rows(out)], np.float64)
    cosines = stored @ query[0] / np.linalg.norm(stored, axis=1)
    assert np.ptp(cosines) > 0.01, "clips that are all alike prove nothing"
    found = answer_of("search", out, "--text", SENTENCE, "-k", "5")["moments"]
    assert found[0]["score"] == pytest.approx(float(cosines.max()), abs=1e-5)
    assert "match" not in found[0]


@pytest.fixture(scope="module")
def matches(out: Path, weights: Path) -> dict[tuple[str, int], float]:
    """Match of every clip, by the network alone; its clips are decoded one video at a time."""
    dataset = vfeat.open(str(out))
    from vfeat.extract.encoder import Encoder
    from vfeat.extract.rerank import Reranker
    from vfeat.models.retrieval.tokenizer import read_tokenizer
    from vfeat.search.text_query import open_text_side

    model = create_retrieval(
        "videomamba_mm", weights=str(weights), **{**SMALL_MM, "vocabulary": 30522}
    ).eval()
    tokens = read_tokenizer(str(weights), 12, 30522)([SENTENCE], padded=True)
    ids, mask = torch.from_numpy(tokens.ids_BW), torch.from_numpy(tokens.mask_BW)
    encoder = Encoder(dataset.recipe, "cpu")
    reranker = Reranker(dataset.recipe, open_text_side(dataset.recipe, "cpu"))
    found = {}
    stored = {(row["uri"], row["clip_index"]): row["embedding"] for row in rows(out)}
    with torch.no_grad():
        text = model.embed_text(ids, mask)
        for key, frames in reranker._decoded(list(stored)):
            [encoded] = encoder.encode(frames[None])
            assert np.allclose(encoded.embedding, stored[key], atol=1e-5)
            pixels = torch.from_numpy(frames[0]).permute(3, 0, 1, 2)[None].float() / 255
            shaped = (1, 3, 1, 1, 1)
            mean = torch.tensor(dataset.recipe.frame.mean).view(shaped)
            std = torch.tensor(dataset.recipe.frame.std).view(shaped)
            video = model.embed_video((pixels - mean) / std)
            logits = model.match(video.tokens_BND, text.tokens_BWH, mask)
            found[key] = float(logits.softmax(-1)[0, 1])
    assert found.keys() == stored.keys()
    return found


def test_reranking_is_that_of_the_network(out: Path, matches: dict[tuple[str, int], float]) -> None:
    expected = matches
    assert np.ptp(list(expected.values())) > 1e-3
    count = len(expected)
    search = ("search", out, "--text", SENTENCE)
    moments = answer_of(*search, "-k", str(count), "--rerank", str(count))["moments"]
    for moment in moments:
        key = moment["uri"], moment["clip_index"]
        assert moment["match"] == pytest.approx(expected[key], abs=1e-4)
    assert moments[0]["match"] == pytest.approx(max(expected.values()), abs=1e-4)
    assert [m["match"] for m in moments] == sorted((m["match"] for m in moments), reverse=True)
    table = command(*search, "-k", "3", "--rerank", "3", "--device", "cpu")
    assert table.exit_code == 0 and "match" in table.stdout


def test_only_the_nearest_are_reranked(out: Path, matches: dict[tuple[str, int], float]) -> None:
    query = embed_text(vfeat.open(str(out)).recipe, [SENTENCE], "cpu")[0]
    nearest = vfeat.open(str(out)).search(query, k=4)
    best = max(nearest, key=lambda hit: matches[hit.uri, hit.clip_index])
    [moment] = answer_of("search", out, "--text", SENTENCE, "--rerank", "4", "-k", "1")["moments"]
    assert (moment["uri"], moment["clip_index"]) == (best.uri, best.clip_index)


def test_scores_along_a_video(out: Path) -> None:
    own = [row for row in rows(out) if row["uri"].endswith("/vfr.mp4")]
    search = ("search", out, "--text", SENTENCE)
    found = answer_of(*search, "--along", "vfr.mp4", "-k", "2")
    assert [clip["clip_index"] for clip in found["clips"]] == [r["clip_index"] for r in own]
    query = embed_text(vfeat.open(str(out)).recipe, [SENTENCE], "cpu")[0]
    stored = np.array([row["embedding"] for row in own])
    expected = stored @ query / np.linalg.norm(stored, axis=1)
    assert [c["score"] for c in found["clips"]] == pytest.approx(expected.tolist(), abs=1e-5)
    assert found["moments"][0]["score"] == pytest.approx(float(expected.max()), abs=1e-5)


def test_labels_are_the_nearest_sentences(out: Path) -> None:
    dataset = vfeat.open(str(out))
    words = embed_text(dataset.recipe, SENTENCES, "cpu")
    for row in rows(out):
        logits = words @ np.array(row["embedding"], np.float32) / np.float32(0.07)
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        order = np.argsort(-expected)
        assert [label["label"] for label in row["labels"]] == [SENTENCES[i] for i in order]
        scores = [label["score"] for label in row["labels"]]
        assert scores == pytest.approx(expected[order].tolist(), abs=1e-4)


def test_sentences_are_part_of_the_fingerprint(out: Path, weights: Path, tmp_path: Path) -> None:
    recipe = vfeat.open(str(out)).recipe
    assert recipe.labels is not None
    unnamed = ExtractRun(mm_job(tmp_path / "a", weights), Watch()).recipe
    assert unnamed.labels is None and unnamed.fingerprint != recipe.fingerprint
    other = tmp_path / "other.txt"
    other.write_text("\n".join(SENTENCES[:2]) + "\n")
    changed = ExtractRun(mm_job(tmp_path / "b", weights, label_names=str(other)), Watch()).recipe
    assert changed.fingerprint not in (recipe.fingerprint, unnamed.fingerprint)
    from vfeat.models.class_names import read_sentences

    with pytest.raises(NodeDiffers, match="other sentences"):
        read_sentences(replace(recipe.labels, source=str(other)))


def captions(out: Path, folder: Path) -> Path:
    """Captions whose videos are known: one of each video, and a second one of the first."""
    uris = sorted({row["uri"] for row in rows(out)})
    lines = [(uri, sentence) for uri, sentence in zip(uris, SENTENCES, strict=True)]
    lines.append((uris[0].rpartition("/")[2], "someone opens a door"))
    (folder / "list.csv").write_text(
        "uri,caption\n" + "\n".join(f'{uri},"{text}"' for uri, text in lines) + "\n"
    )
    return folder / "list.csv"


def expected_recall(scores_TV: np.ndarray, video_T: list[int]) -> list[float]:
    ranks = [int((row > row[v]).sum()) for row, v in zip(scores_TV, video_T, strict=True)]
    return [float(np.mean([r < k for r in ranks])) for k in (1, 5, 10)]


def test_recall_is_counted_both_ways(out: Path, weights: Path, tmp_path: Path) -> None:
    listed = captions(out, tmp_path)
    found = answer_of("eval", "retrieval", out, listed)
    assert (found["captions"], found["videos"], found["reranked"]) == (4, 3, None)
    texts, video_T = (*SENTENCES, "someone opens a door"), [0, 1, 2, 0]
    words = embed_text(vfeat.open(str(out)).recipe, texts, "cpu")
    by_video = {}
    for row in rows(out):
        by_video.setdefault(row["uri"], []).append(words @ np.array(row["embedding"], np.float32))
    scores_TV = np.stack([np.max(v, axis=0) for _, v in sorted(by_video.items())], axis=1)
    dot = found["dot_product"]["text_to_video"]
    expected = expected_recall(scores_TV, video_T)
    assert [dot["at_1"], dot["at_5"], dot["at_10"]] == pytest.approx(expected)
    back = found["dot_product"]["video_to_text"]
    first = [video_T[int(column.argmax())] == v for v, column in enumerate(scores_TV.T)]
    assert back["at_1"] == pytest.approx(float(np.mean(first)))
    twice = ("eval", "retrieval", out, listed, "--rerank", "2")
    reranked = answer_of(*twice)
    assert reranked["dot_product"] == found["dot_product"]
    assert 0 < reranked["compared"] <= 12 and reranked["lost_clips"] == 0
    assert set(reranked["reranked"]) == {"text_to_video", "video_to_text"}
    shown = command(*twice, "--device", "cpu")
    assert shown.exit_code == 0 and "re-ranked 2" in shown.stdout and "dot product" in shown.stdout


def test_lists_that_do_not_fit_are_refused(out: Path, tmp_path: Path) -> None:
    for content, words in (
        ("uri,title\nx.mp4,y\n", "has no column 'caption'"),
        ("uri,caption\nnowhere.mp4,a dog\n", "holds no clip of 1 of 1 videos: nowhere.mp4"),
        ("uri,caption\nvfr.mp4,\n", "row 1 has no caption"),
    ):
        (tmp_path / "list.csv").write_text(content)
        assert words in refusal("eval", "retrieval", out, tmp_path / "list.csv")


def test_a_model_without_words_is_refused_in_a_sentence(tmp_path: Path) -> None:
    extract(tiny_job(tmp_path / "out", CLIPS / "vfr.mp4"))
    search = ("search", tmp_path / "out")
    refused = refusal(*search, "--text", SENTENCE)
    assert "which has no text side; those of videomamba_middle_mm" in refused
    for flags, words in (
        (("--text", "a dog", "--like", "x@1"), "give one of"),
        (("--like", "x@1", "--rerank", "5"), "belongs to --text"),
        (("--text", " ?! "), "no text side"),
        (("--text", "a", "--along", "vfr.mp4", "--exact"), "leave out --where"),
    ):
        assert words in refusal(*search, *flags)


def test_weights_that_are_gone_are_named(out: Path) -> None:
    recipe = vfeat.open(str(out)).recipe
    moved = replace(recipe, model=replace(recipe.model, weights="/nowhere/mm.pth"))
    with pytest.raises(EnvironmentMissing, match=r"/nowhere/mm\.pth"):
        embed_text(moved, [SENTENCE], "cpu")
    other = replace(recipe, model=replace(recipe.model, weights=RANDOM))
    with pytest.raises(NodeDiffers, match="holds other weights"):
        embed_text(other, [SENTENCE], "cpu")


def test_no_column_is_new(out: Path) -> None:
    [file] = list((out / "features").glob("*.parquet"))[:1]
    assert pq.read_schema(file).names[-2:] == ["labels", "shard"]
