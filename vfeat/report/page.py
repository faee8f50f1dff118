"""The page: templates, and what they need to show numbers and names.

Every value is escaped for HTML, and control characters of names are written out. The page's policy
lets one script run, by its hash, and no request leave.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import vfeat
from vfeat.plain_text import one_line
from vfeat.report.advice import advice_for
from vfeat.report.dataset_part import DatasetPart, picture_of_error
from vfeat.report.runs import RunLine
from vfeat.report.series import Chart, Series, draw
from vfeat.report.training import Training
from vfeat.surroundings import here

_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
TEMPLATES = Path(__file__).parent / "templates"


def render(title: str, datasets: Sequence[DatasetPart], trainings: Sequence[Training]) -> str:
    """Return the page."""
    script = (TEMPLATES / "map.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    now = datetime.fromtimestamp(here().wall_s(), UTC).strftime("%Y-%m-%d %H:%M UTC")
    return _environment().get_template("page.html.j2").render(
        title=title, datasets=datasets, trainings=trainings, script=Markup(script),
        script_hash=digest, made=now, version=vfeat.__version__,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda n: f"{n:,}", "size": size_text, "seconds": time_text,
        "code": code, "percent": lambda share: f"{share:.0%}", "trusted_json": Markup,
    }  # fmt: skip
    environment.globals |= {
        "advice_for": advice_for, "rate_chart": rate_chart, "loss_chart": loss_chart,
        "score_chart": score_chart, "verdict": verdict, "picture_of_error": picture_of_error,
    }  # fmt: skip
    return environment


def _plain(value: object) -> object:
    """Write out control characters of every text that is not a template's own."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return one_line(value)
    return value


def code(text: str) -> Markup:
    """Return a sentence of our own with what stands in backticks as code."""
    parts = one_line(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(parts)
    )


def rate_chart(run: RunLine) -> Chart | None:
    """Lay out the rate of a run over its time."""
    if not run.rates:
        return None
    end_s = run.rates[-1][0]
    unit, size_s = next(u for u in _UNITS if end_s >= 3 * u[1] or u[1] == 1)
    points = tuple((at / size_s, rate) for at, rate in run.rates)
    name = f"{run.noun} a second"
    title = f"Rate of run {run.name}"
    return draw(title, f"{unit} since the work began", name, [Series(name, points)])


def loss_chart(training: Training) -> Chart | None:
    """Lay out the losses of a training."""
    return draw(f"Losses of {training.name}", "epoch", "loss", training.losses)


def score_chart(training: Training) -> Chart | None:
    """Lay out the scores of a training."""
    return draw(f"Scores of {training.name}", "epoch", "score", training.scores)


def verdict(run: RunLine) -> str:
    """Return where the time of a run went, and what would make it faster."""
    if run.slowest:
        return run.slowest
    model, store = run.spent["model"], run.spent["store"]
    waited = run.waited["the model waited for clips"]
    feeders = run.waited["feeders waited for a model"]
    busy = model + store + waited
    if busy <= 0:
        return "Too short to judge."
    share = waited / busy
    if share > 0.5:
        return f"The model waited {share:.0%} of its time for clips: more cores for decoding help."
    if feeders > busy:
        return "Clips waited for the model: more GPUs, or a smaller model, help."
    if store > model:
        return f"Writing took {store / busy:.0%} of the workers' time: the store is the limit."
    return (
        f"The model worked {model / busy:.0%} of the workers' time and waited {share:.0%} for "
        "clips: the model is the limit."
    )


def size_text(size_bytes: float) -> str:
    """Format a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.1f} TB"


def time_text(seconds: float) -> str:
    """Format a number of seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours:,} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {left:02d} s"
