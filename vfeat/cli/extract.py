"""`vfeat extract`: the first stage, by flags."""

from __future__ import annotations

from typing import Annotated

import typer

from vfeat.cli import flags
from vfeat.cli.jobs import carry_out

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
