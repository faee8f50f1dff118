"""`vfeat train encoder`: a VideoMamba from a list of labelled clips."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from vfeat.job.train_encoder import TrainEncoderJob
    from vfeat.train.encoder.watch import EncoderWatch

NOT_FIELDS = {"ctx", "set_", "dry_run", "json_output"}
JOB_SUFFIXES = (".yaml", ".yml")
Option = typer.Option


def encoder(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="LIST|JOB.yaml",
            help="CSV or Parquet list (uri, label, [start_s, end_s], [split]), or a job file.",
        ),
    ] = None,
    out: Annotated[
        str | None, Option(help="Folder of the encoder: local, or an s3:// prefix.")
    ] = None,
    set_: Annotated[
        list[str] | None, Option("--set", help="key=value on top of a job file; repeatable.")
    ] = None,
    model: Annotated[
        str, Option(help="A VideoMamba; `vfeat models` lists them.")
    ] = "videomamba_tiny",
    weights: Annotated[
        str | None, Option(help="Weights to start from; default: fresh ones.")
    ] = None,
    model_options: Annotated[
        list[str] | None,
        Option("--model-option", help="Free configuration: key=value, repeatable."),
    ] = None,
    initial: Annotated[
        str, Option(help="Without weights: fresh values, or motion_energy, which sees motion.")
    ] = "fresh",
    new_blocks: Annotated[
        int, Option(help="Blocks more than the weights have; at first they pass on what they get.")
    ] = 0,
    num_frames: Annotated[int, Option(help="Frames in a clip.")] = 8,
    clip_seconds: Annotated[float, Option(help="Length of a clip's window, s.")] = 2.0,
    stride_seconds: Annotated[
        float | None, Option(help="Seconds between clip starts; default: clip length.")
    ] = None,
    sampling: Annotated[str, Option(help="dense, or sparse over the whole video.")] = "dense",
    size: Annotated[int, Option(help="Side of the square input, pixels.")] = 224,
    resize: Annotated[str, Option(help="bilinear (official) or area.")] = "bilinear",
    square_pixels: Annotated[
        bool, Option("--square-pixels", help="Apply the pixel aspect ratio.")
    ] = False,
    decoder: Annotated[str, Option(help="pyav, decord, torchcodec, module:object.")] = "pyav",
    objective: Annotated[
        str, Option(help="classification, distillation, or masked: pre-training without labels.")
    ] = "classification",
    teacher: Annotated[
        str | None, Option(help="Weights of the frozen teacher of distillation and masked.")
    ] = None,
    teacher_model: Annotated[
        str, Option(help="What it is: a VideoMamba, vit:FOLDER or vit:owner/repo.")
    ] = "videomamba",
    distill_weight: Annotated[float, Option(help="Of the distance from the teacher.")] = 1.0,
    mask_ratio: Annotated[float, Option(help="Share of the tokens that is hidden.")] = 0.8,
    mask_kind: Annotated[
        str, Option(help="tube, random, or attention (of a vit: teacher).")
    ] = "tube",
    epochs: Annotated[int, Option(help="Passes over the training clips.")] = 30,
    batch_size: Annotated[int, Option(help="Clips in a step, all workers together.")] = 32,
    repeats: Annotated[int, Option(help="Times a video comes in an epoch.")] = 1,
    rest: Annotated[
        float, Option(help="Share of the epochs that a video skips while its label is given 0.9.")
    ] = 0.0,
    lr: Annotated[float, Option(help="Highest learning rate.")] = 1e-3,
    min_lr: Annotated[float, Option(help="Learning rate at the end of the cosine.")] = 1e-6,
    warmup_epochs: Annotated[float, Option(help="Epochs of linear rise to --lr.")] = 1.0,
    weight_decay: Annotated[float, Option(help="Of matrices and filters only.")] = 0.05,
    layer_decay: Annotated[float, Option(help="Factor of the rate from layer to layer.")] = 1.0,
    drop_path: Annotated[float, Option(help="Share of clips that skip the last block.")] = 0.0,
    label_smoothing: Annotated[float, Option(help="Share given to all classes.")] = 0.0,
    token_loss: Annotated[
        float, Option(help="Weight of the same loss from the mean of all tokens.")
    ] = 0.0,
    flow: Annotated[
        str | None,
        Option(help="Parquet table of how the pictures move (uri, rate, maps), for --flow-loss."),
    ] = None,
    flow_loss: Annotated[
        float, Option(help="Weight of reading the picture's motion from every token.")
    ] = 0.0,
    clip_norm: Annotated[float, Option(help="Largest norm of the gradient.")] = 1.0,
    ema_decay: Annotated[float, Option(help="Of averaged weights; 0 keeps none.")] = 0.0,
    bf16: Annotated[bool, Option(help="bfloat16 on a GPU.")] = True,
    bf16_products: Annotated[
        bool,
        Option("--bf16-products", help="Allow bfloat16 in a CPU's matrix products; faster."),
    ] = False,
    checkpoint_activations: Annotated[
        bool,
        Option("--checkpoint-activations", help="Less memory: compute them again, a third slower."),
    ] = False,
    hflip: Annotated[
        bool, Option("--hflip", help="Mirror half of the clips; labels stay.")
    ] = False,
    label_swaps: Annotated[
        list[str] | None,
        Option(
            "--label-swap",
            help="horizontal, vertical or reverse, alone or with labels that it exchanges: "
            "horizontal:left=right; repeatable.",
        ),
    ] = None,
    random_crop: Annotated[
        float, Option(help="Share of the side that a clip's crop leaves out, at most.")
    ] = 0.0,
    jitter: Annotated[float, Option(help="Strength of brightness, contrast, colour.")] = 0.0,
    gray: Annotated[float, Option(help="Share of clips without colour.")] = 0.0,
    rand_augment: Annotated[int, Option(help="RandAugment's magnitude; 0 is off.")] = 0,
    mixup: Annotated[float, Option(help="Share of steps with mixup.")] = 0.0,
    cutmix: Annotated[float, Option(help="Share of steps with CutMix.")] = 0.0,
    random_erasing: Annotated[float, Option(help="Share of clips with a hole.")] = 0.0,
    eval_every: Annotated[int, Option(help="Epochs between validations.")] = 1,
    keep: Annotated[
        str, Option(help="The epoch with the best validation score, the lowest loss, or the last.")
    ] = "score",
    test_clips: Annotated[int, Option(help="Clips of a video in an evaluation.")] = 1,
    test_flips: Annotated[
        bool,
        Option(help="See each clip's flips too, in evaluations and later extractions; the mean."),
    ] = False,
    crops: Annotated[int, Option(help="1 centre crop in an evaluation, or 3 averaged.")] = 1,
    seed: Annotated[int, Option(help="Of everything that is drawn.")] = 0,
    device: flags.Device = "auto",
    workers: Annotated[int, Option(help="Processes that share each batch; one a GPU.")] = 1,
    executor: Annotated[
        str, Option(help="inline: on this machine; ray: Ray Train, perhaps on a cluster.")
    ] = "inline",
    address: flags.Address = None,
    decode_workers: Annotated[
        int | None, Option(help="Decoder children; default by cores.")
    ] = None,
    decode_timeout_seconds: Annotated[
        float, Option(help="Longest decode without progress.")
    ] = 60.0,
    cache_megabytes: Annotated[int, Option(help="Clips kept in memory between epochs.")] = 2048,
    scratch_megabytes: Annotated[
        int, Option(help="Further ones kept in a scratch file in TMPDIR.")
    ] = 16384,
    checkpoint_minutes: Annotated[
        float, Option(help="Between checkpoints inside an epoch.")
    ] = 10.0,
    max_broken_share: Annotated[
        float, Option(help="Stop when more of the videos cannot be read.")
    ] = 0.1,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Train a VideoMamba on a list of clips; the same command again goes on or is done."""
    given = {name: value for name, value in ctx.params.items() if name not in NOT_FIELDS}
    is_job = source is not None and source.lower().endswith(JOB_SUFFIXES)
    if is_job:  # a flag counts on top of the file where it was really given
        del given["source"]
        given = {name: value for name, value in given.items() if _typed(ctx, name)}
    given = _read(given)
    if is_job:
        assert source is not None
        job = _load(source, tuple(set_ or ()), given)
    else:
        from vfeat.job.spec import parse_train_encoder

        job = parse_train_encoder({name: v for name, v in given.items() if v is not None})
    carry_out(job, dry_run, json_output)


def _typed(ctx: typer.Context, name: str) -> bool:
    """Whether a flag stands on the command line; Typer may bring its own copy of click."""
    found = ctx.get_parameter_source(name)
    return found is not None and found.name == "COMMANDLINE"


def _load(path: str, overrides: tuple[str, ...], given: dict[str, Any]) -> TrainEncoderJob:
    from vfeat.errors import JobError
    from vfeat.job.load import load_job
    from vfeat.job.train_encoder import TrainEncoderJob

    typed = tuple(f"{name}={json.dumps(value)}" for name, value in given.items())
    job = load_job(path, (*overrides, *typed), kind="train-encoder")
    if not isinstance(job, TrainEncoderJob):
        raise JobError(f"job file {path} is of kind {job.kind}; run it with `vfeat run {path}`")
    return job


def _read(given: dict[str, Any]) -> dict[str, Any]:
    """Repeatable flags to the mappings of the job."""
    readers = {"model_options": flags.parse_options, "label_swaps": _swaps}
    for name, reader in readers.items():
        if name in given:
            words = given.pop(name)
            if words:
                given[name] = reader(words)
    return given


def _swaps(words: list[str]) -> dict[str, dict[str, str]]:
    """`flip`, or `flip:label=label`."""
    from vfeat.errors import JobError

    swaps: dict[str, dict[str, str]] = {}
    for word in words:
        flip, colon, pair = word.partition(":")
        labels = swaps.setdefault(flip, {})
        left, equals, right = pair.partition("=")
        if colon and not (equals and left and right):
            raise JobError(f"--label-swap {word!r}: expected FLIP, or FLIP:label=label")
        if colon:
            labels[left] = right
    return swaps


def _train(job: TrainEncoderJob, watch: EncoderWatch) -> dict[str, Any]:
    if job.executor == "ray":
        from vfeat.train.encoder.ray_workers import train_on_ray

        return train_on_ray(job, watch)
    from vfeat.train.encoder.run import train_encoder

    return train_encoder(job, watch)


def carry_out(job: TrainEncoderJob, dry_run: bool, json_output: bool) -> None:
    """Train or preview, and leave with the exit code."""
    # Read when torch is imported: its idle threads would spin and steal from the decoders.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vfeat.cli.encoder_report import make_encoder_watch, print_encoder, print_outline
    from vfeat.cli.terminal import one_line, say, say_json, this_command
    from vfeat.errors import Interrupted
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    if dry_run:
        from vfeat.train.encoder.dry_run import outline

        print_outline(outline(job), json_output)
        return
    again = this_command()
    try:
        with make_encoder_watch(again) as watch:
            result = _train(job, watch)
    except (Interrupted, KeyboardInterrupt) as stop:
        why = str(stop) or "stopped; the last checkpoint is kept"
        say(f"{one_line(why)}; go on with:\n  {again}", to_stderr=True)
        raise typer.Exit(130) from None
    if json_output:
        say_json(result)
    print_encoder(result, to_stderr=json_output)
