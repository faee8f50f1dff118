"""`vfeat extract`, and the same from a job file: `vfeat run` and `vfeat plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vfeat.cli import flags, train_encoder

if TYPE_CHECKING:
    from vfeat.classify.run import ClassifyRun
    from vfeat.engine.watch import Watch
    from vfeat.extract.run import ExtractRun
    from vfeat.job.spec import ClassifyJob, ExtractJob, Job

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SRC...",
        help="Folders, files, globs, s3:// prefixes, or CSV/Parquet lists with a uri column.",
        show_default=False,
    ),
]


def extract(
    sources: Sources,
    out: flags.Out,
    model: Annotated[
        str | None,
        typer.Option(help="Model; `vfeat models` lists them. Or vit:FOLDER, vit:owner/repo."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Path, fsspec URI, hf://owner/repo/file, or `random`.")
    ] = None,
    model_option: Annotated[
        list[str] | None, typer.Option(help="Free configuration: key=value, repeatable.")
    ] = None,
    label_names: Annotated[
        str | None,
        typer.Option("--labels", help="Class names: k400, ssv2, imagenet, or a file of them."),
    ] = None,
    num_frames: Annotated[
        int | None, typer.Option(help="Frames in a clip; default: the model's own, often 8.")
    ] = None,
    clip_seconds: Annotated[
        float | None, typer.Option(help="Length of a clip's window, s; the model's own, or 2.")
    ] = None,
    stride_seconds: Annotated[
        float | None, typer.Option(help="Seconds between clip starts; default: clip length.")
    ] = None,
    sampling: Annotated[str, typer.Option(help="dense, or sparse over the whole video.")] = "dense",
    sparse_clips: Annotated[int, typer.Option(help="Clips per video when sparse.")] = 4,
    size: Annotated[
        int | None, typer.Option(help="Side of the square input, pixels; default: the model's own.")
    ] = None,
    resize: Annotated[
        str | None, typer.Option(help="bilinear (official) or area; default: the model's own.")
    ] = None,
    crops: Annotated[int, typer.Option(help="1 centre crop, or 3 averaged.")] = 1,
    flips: Annotated[
        bool | None,
        typer.Option(
            "--flips/--no-flips",
            help="Labels from the mean over a clip and its flips; default: as the weights were "
            "measured.",
        ),
    ] = None,
    square_pixels: Annotated[
        bool, typer.Option("--square-pixels", help="Apply the pixel aspect ratio.")
    ] = False,
    decoder: Annotated[str, typer.Option(help="pyav, decord, torchcodec, module:object.")] = "pyav",
    tokens: Annotated[str, typer.Option(help="Also keep tokens: none, frame or patch.")] = "none",
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 (stores float16).")] = "float32",
    top_k: Annotated[int, typer.Option(help="Labels kept for each clip.")] = 5,
    executor: flags.Executor = "ray",
    address: flags.Address = None,
    device: flags.Device = "auto",
    actors: flags.Actors = None,
    gpus_per_actor: flags.GpusPerActor = 1.0,
    decode_workers: Annotated[
        int | None, typer.Option(help="Decoder children per actor; default by cores.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Clips in a batch; default by memory.")
    ] = None,
    shard_minutes: flags.ShardMinutes = 5.0,
    shard_megabytes: Annotated[int, typer.Option(help="Largest size of a shard.")] = 256,
    decode_timeout_seconds: Annotated[
        float, typer.Option(help="Longest decode without progress.")
    ] = 60.0,
    max_frame_pixels: Annotated[
        int, typer.Option(help="Larger frames are refused by their header.")
    ] = 8192 * 8192,
    max_video_seconds: Annotated[
        float, typer.Option(help="Longer videos are refused, gaps between frames included.")
    ] = 4e9,
    max_video_clips: Annotated[
        int, typer.Option(help="Videos with more clips are refused, empty ones not counted.")
    ] = 10_000_000,
    child_memory_megabytes: Annotated[
        int, typer.Option(help="Address space of a decoder child.")
    ] = 6144,
    breaker_first_units: flags.BreakerFirstUnits = 25,
    breaker_error_share: flags.BreakerErrorShare = 0.5,
    storage_patience_seconds: flags.StoragePatience = 120.0,
    retry_errors: Annotated[
        list[str] | None, typer.Option(help="Plan failed units again: a class, or `all`.")
    ] = None,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Extract clip embeddings and labels from videos into a Parquet dataset."""
    from vfeat.job.spec import parse_extract

    fields = {name: value for name, value in locals().items() if name not in _NOT_FIELDS}
    fields["model_options"] = flags.parse_options(model_option or [])
    fields["retry_errors"] = retry_errors or None
    carry_out(parse_extract(fields), dry_run, json_output)


_NOT_FIELDS = {"dry_run", "json_output", "model_option", "parse_extract"}


def run(
    job: Annotated[str, typer.Argument(help="A job file (YAML).")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value on top of the file.")
    ] = None,
    address: flags.Address = None,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Run a job file."""
    carry_out(_load(job, set_, address), dry_run, json_output)


def plan(
    job: Annotated[str, typer.Argument(help="A job file (YAML).")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value on top of the file.")
    ] = None,
    json_output: flags.Json = False,
) -> None:
    """Print what a job file would do, and write nothing."""
    carry_out(_load(job, set_, None), True, json_output)


def _load(path: str, overrides: list[str] | None, address: str | None) -> Job:
    from vfeat.job.load import load_job

    extra = (f"address={address}",) if address else ()
    return load_job(path, (*(overrides or ()), *extra))


def _make_run(job: ExtractJob | ClassifyJob, watch: Watch) -> ExtractRun | ClassifyRun:
    if job.kind == "classify":
        from vfeat.classify.run import ClassifyRun

        return ClassifyRun(job, watch)
    from vfeat.extract.run import ExtractRun

    return ExtractRun(job, watch)


def carry_out(job: Job, dry_run: bool, json_output: bool) -> None:
    """Run or preview a job of any stage, draw it, and leave with its exit code."""
    if job.kind == "train-encoder":
        train_encoder.carry_out(job, dry_run, json_output)
        return
    from vfeat.cli.interrupt import interruptible
    from vfeat.cli.progress import make_watch
    from vfeat.cli.report import print_preview, print_summary
    from vfeat.cli.terminal import say_json, this_command
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    again = this_command()
    with make_watch() as watch:
        run = _make_run(job, watch)
        try:
            if dry_run:
                preview = run.preview()
            else:
                with interruptible(run, watch, again):
                    summary = run.run()
        finally:
            run.close()
    if dry_run:
        print_preview(preview, json_output)
        return
    if json_output:
        say_json(summary.to_json())
    print_summary(summary, again, to_stderr=json_output)
    raise typer.Exit(summary.exit_code)
