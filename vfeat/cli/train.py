"""`vfeat train head`: heads on stored features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfeat.cli import train_encoder

if TYPE_CHECKING:
    from vfeat.train.head.spec import TrainSpec

app = typer.Typer(
    help="Train a head on stored features, or an encoder on clips.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("head")
def head(
    features: Annotated[str, typer.Argument(metavar="FEATURES", help="Features dataset root.")],
    out: Annotated[str, typer.Option(help="Folder of the head.", show_default=False)],
    labels: Annotated[
        str | None, typer.Option(help="CSV file: uri or video_id, label, [split].")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="classification, multilabel or regression; or name=kind, repeatable, where "
            "the name is a column of the labels."
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="lvu/TASK, lvu/all, breakfast or coin; repeatable."),
    ] = None,
    annotations: Annotated[
        str | None, typer.Option(help="Folder of the protocols' published files.")
    ] = None,
    level: Annotated[
        str, typer.Option(help="clip embeddings, or kept tokens: frame or patch.")
    ] = "clip",
    window_seconds: Annotated[
        float | None, typer.Option(help="Learn from windows of this length; default: whole videos.")
    ] = None,
    hop_seconds: Annotated[
        float | None, typer.Option(help="Seconds between windows; default: half a window.")
    ] = None,
    d_model: Annotated[
        int | None, typer.Option(help="Width of the first layer; default: the features'.")
    ] = None,
    n_layers: Annotated[int, typer.Option(help="Layers; each halves steps and width.")] = 3,
    dropout: Annotated[float, typer.Option(help="Share of channels dropped.")] = 0.2,
    kernel: Annotated[str, typer.Option(help="nplr (S4) or s4d (diagonal).")] = "nplr",
    epochs: Annotated[int, typer.Option(help="At most so many epochs.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Windows in a step.")] = 16,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    s4_lr: Annotated[float, typer.Option(help="Learning rate of S4's parameters.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Never on S4's parameters.")] = 0.01,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without gain.")] = 10,
    plateau_patience: Annotated[
        int, typer.Option(help="Lower the rates after so many epochs without gain.")
    ] = 4,
    plateau_factor: Annotated[float, typer.Option(help="By this factor.")] = 0.2,
    clip_norm: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = 1.0,
    class_weights: Annotated[str, typer.Option(help="none, or balanced.")] = "none",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    bf16: Annotated[bool, typer.Option(help="bfloat16 on a GPU.")] = True,
    cache_megabytes: Annotated[
        int, typer.Option(help="Features kept in memory between epochs.")
    ] = 2048,
    scratch_megabytes: Annotated[
        int, typer.Option(help="Further ones kept in a scratch file in TMPDIR.")
    ] = 16384,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Leave out unknown, unlabelled and broken videos, and go on."
        ),
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="The result as JSON on stdout.")
    ] = False,
) -> None:
    """Train ViS4mer heads on stored features; the same command again goes on or is done."""
    fields = dict(locals())
    from vfeat.train.head.spec import TrainSpec

    as_json = fields.pop("json_output")
    fields["tasks"] = _tasks(fields.pop("task") or [])
    fields["protocols"] = tuple(fields.pop("protocol") or [])
    _carry_out(TrainSpec(**fields), as_json)


def _tasks(words: list[str]) -> tuple[tuple[str, Any], ...]:
    """`kind` or `name=kind`."""
    from vfeat.errors import JobError
    from vfeat.sequences.head import KINDS

    tasks = []
    for word in words:
        name, equals, kind = word.rpartition("=")
        if kind not in KINDS or (equals and not name):
            raise JobError(f"--task {word}: expected one of {', '.join(KINDS)}, or name=kind")
        tasks.append((name or "label", kind))
    return tuple(tasks)


def _carry_out(spec: TrainSpec, as_json: bool) -> None:
    from vfeat.cli.interrupt import leave, signals_to
    from vfeat.cli.terminal import say, say_json, this_command
    from vfeat.cli.train_report import make_train_watch, print_heads
    from vfeat.storage.temporary import check_temporary_folder
    from vfeat.train.head.run import train_heads

    check_temporary_folder()
    again = this_command()
    try:
        with signals_to(leave), make_train_watch() as watch:
            results = train_heads(spec, watch)
    except KeyboardInterrupt:
        say(f"Stopped. The last whole epoch is kept; go on with:\n  {again}", to_stderr=True)
        raise typer.Exit(130) from None
    if as_json:
        say_json([result.to_json() for result in results])
    print_heads(results, to_stderr=as_json)


app.command("encoder")(train_encoder.encoder)
