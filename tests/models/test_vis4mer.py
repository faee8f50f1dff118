"""A video's result does not depend on its batch; any length; sensible refusals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.models import ViS4mer, create_model

SMALL = {"d_input": 6, "l_max": 24, "d_output": 3, "d_model": 16, "n_layers": 3}
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def small(**config: Any) -> ViS4mer:
    return create_model("vis4mer", weights="random", **SMALL | config).eval()


def random_sequence(length: int, width: int = 6) -> Tensor:
    return torch.randn(length, width, generator=torch.Generator().manual_seed(length))


def padded(rows: Sequence[Tensor], length: int, filler: float) -> tuple[Tensor, Tensor]:
    """A batch and its mask; what stands in the padding must not matter."""
    batch = torch.full((len(rows), length, rows[0].shape[1]), filler)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        batch[index, : len(row)] = row
        mask[index, : len(row)] = True
    return batch, mask


@pytest.mark.parametrize("filler", [0.0, 1e4, float("nan")])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    "config",
    [{}, {"kernel": "s4d"}, {"l_max": 25}, {"d_model": 6, "n_layers": 2}, {"prenorm": False}],
    ids=lambda c: next(iter(c), "published"),
)
def test_alone_and_in_a_padded_batch(config: dict[str, Any], training: bool, filler: float) -> None:
    """At odd lengths, below one whole pooling, and past l_max, where kernels double."""
    model = small(**config, dropout=0.0).train(training)
    rows = [random_sequence(length) for length in (1, 2, 3, 5, 7, 8, 23, 24, 25, 26, 31, 60)]
    together = model(*padded(rows, 64, filler))
    for row, logits in zip(rows, together, strict=True):
        torch.testing.assert_close(model(row[None])[0], logits, **CLOSE)


@pytest.mark.parametrize("length", [1, 2, 9, 24, 31])
def test_a_full_mask_changes_nothing(length: int) -> None:
    model, sequence = small(), random_sequence(length)[None]
    mask = torch.ones(1, length, dtype=torch.bool)
    torch.testing.assert_close(model(sequence, mask), model(sequence), **CLOSE)


GAPS = ["110111", "011111", "1001", "10000001", "00000001", "000000001", "1110100100011"]


@pytest.mark.parametrize("gaps", GAPS)
def test_missing_steps_have_no_content(gaps: str) -> None:
    """Whatever stands in a gap, alone or padded; but time passes in it."""
    model, mask = small(), torch.tensor([[step == "1" for step in gaps]])
    sequence = random_sequence(len(gaps))[None]
    with torch.no_grad():
        logits = model(sequence, mask)
        garbage = sequence.masked_fill(~mask[..., None], float("nan"))
        batch, batch_mask = padded([garbage[0], random_sequence(19)], 23, float("nan"))
        batch_mask[0, : len(gaps)] = mask[0]
        together = model(batch, batch_mask)
        closed = model(sequence[mask][None])
    assert logits.isfinite().all()
    torch.testing.assert_close(model(garbage, mask), logits, **CLOSE)
    torch.testing.assert_close(together[:1], logits, **CLOSE)
    assert "0" not in gaps.strip("0") or not torch.allclose(closed, logits, **CLOSE)


def test_missing_steps_have_no_gradient_and_spoil_none() -> None:
    model = small().train()
    batch, mask = padded([random_sequence(5), random_sequence(12)], 14, float("nan"))
    mask[1, 3:5] = False
    batch.requires_grad_()
    model(batch, mask).square().sum().backward()
    assert batch.grad is not None and torch.equal(batch.grad.ne(0).any(-1), mask)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("kernel", ["nplr", "s4d"])
def test_evaluation_training_and_blocks_agree(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(kernel=kernel, dropout=0.0)
    batch, mask = padded([random_sequence(37), random_sequence(64)], 65, 0.0)
    with_gradients = model.train()(batch, mask)
    monkeypatch.setattr("vfeat.models.vis4mer.BLOCK_STEPS", 4)
    with torch.no_grad():
        evaluated = model.eval()(batch, mask)
        alone = model(batch[:1, :37])
    torch.testing.assert_close(evaluated, with_gradients, **CLOSE)
    torch.testing.assert_close(alone, with_gradients[:1], **CLOSE)


def test_float16_features_are_read_as_float32() -> None:
    model, sequence = small(), random_sequence(20)[None].half()
    assert torch.equal(model(sequence), model(sequence.float()))


def test_float64_models_run_in_float64() -> None:
    model, sequence = small(), random_sequence(20)[None]
    exact = small().double()(sequence)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(model(sequence).double(), exact, rtol=1e-3, atol=1e-5)


def test_autocast_keeps_the_state_spaces_exact() -> None:
    model, sequence = small(), random_sequence(20)[None]
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(sequence)
    torch.testing.assert_close(rough.float(), model(sequence), rtol=0.1, atol=0.05)


def test_parameter_groups_hold_every_parameter_once() -> None:
    model = small()
    rest, own = model.parameter_groups(lr=0.01, s4_lr=0.001, weight_decay=0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    found = [names[id(p)] for group in (rest, own) for p in group["params"]]
    assert sorted(found) == sorted(names.values())
    assert {names[id(p)].rpartition(".")[2] for p in own["params"]} == {"log_dt", "w", "B", "C"}
    assert (own["lr"], own["weight_decay"]) == (0.001, 0.0)
    assert (rest["lr"], rest["weight_decay"]) == (0.01, 0.1)
    torch.optim.AdamW(model.parameter_groups(0.01, 0.001, 0.1))
    model.requires_grad_(False)
    model.decoder.requires_grad_()
    assert [len(g["params"]) for g in model.parameter_groups(0.01, 0.001, 0.1)] == [2]


def test_training_learns_the_order_of_two_events() -> None:
    """Events far apart, the same ones in both classes: a mean over time is blind to it."""
    torch.manual_seed(0)
    model = small(d_input=2, l_max=64, d_output=2, dropout=0.0, n_layers=2).train()
    optimizer = torch.optim.AdamW(model.parameter_groups(0.01, 0.001, 0.01))
    classes = torch.arange(32) % 2
    sequences = torch.zeros(32, 64, 2)
    for row, first in enumerate(classes.tolist()):
        sequences[row, row % 8, first] = sequences[row, 40 + row % 16, 1 - first] = 1
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(sequences), classes).backward()
        optimizer.step()
    assert (model.eval()(sequences).argmax(1) == classes).all()


@pytest.mark.parametrize(
    ("shape", "mask_shape"),
    [((2, 5), None), ((2, 5, 7), None), ((2, 0, 6), None), ((2, 5, 6), (2, 4)), ((2, 5, 6), (5,))],
    ids=str,
)
def test_shapes_that_do_not_fit(shape: tuple[int, ...], mask_shape: tuple[int, ...] | None) -> None:
    mask = None if mask_shape is None else torch.ones(mask_shape, dtype=torch.bool)
    with pytest.raises(JobError, match=r"The (model|mask) .*this one is"):
        small()(torch.zeros(shape), mask)


def test_a_sequence_of_no_steps() -> None:
    mask = torch.tensor([[True, False], [False, False]])
    with pytest.raises(JobError, match=r"of 2, 1 have none \(row 1 first\)"):
        small()(torch.zeros(2, 2, 6), mask)


LONG = """
import resource, torch
from vfeat.models import create_model
torch.set_num_threads(1)
model = create_model("vis4mer", weights="random", d_input=64, l_max=4096, d_output=3,
                     d_model=64, n_layers=2).eval()
sequence = torch.randn(1, 100_000, 64)
def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak_mb()
with torch.no_grad():
    assert model(sequence).isfinite().all()
print(peak_mb() - before)
"""


@pytest.mark.slow
def test_a_hundred_thousand_steps_in_bounded_memory() -> None:
    """The H·N·L numbers of the first kernel alone would be 1.6 GB."""
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 400
