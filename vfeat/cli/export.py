"""`vfeat export`: a dataset as large Parquet files, `.npy` files, a Lance table, an HF folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from vfeat.export.export import Export


def export(
    out: flags.Dataset,
    to: Annotated[str, typer.Option(metavar="DEST", help="Empty folder or s3:// prefix.")],
    format: Annotated[
        Literal["parquet", "npy", "lance", "hf"],
        typer.Option(
            help="parquet: few large sorted files; npy: a file for each video; lance: a Lance "
            "table; hf: a Hugging Face dataset folder."
        ),
    ] = "parquet",
    column: Annotated[
        str, typer.Option(help="Vectors of the .npy files: embedding, frame_tokens, patch_tokens.")
    ] = "embedding",
    part_megabytes: Annotated[
        int, typer.Option(min=1, max=65536, help="Size of a file of parquet, hf and lance, MiB.")
    ] = 512,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Copy the rows of a dataset into another form, and prove that every row arrived."""
    from vfeat.cli.terminal import say, say_json, this_command
    from vfeat.errors import Interrupted
    from vfeat.export.export import Export
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    work = Export(out, to, format, column, part_megabytes)
    result = {
        "to": work.destination.root.uri,
        "format": format,
        "videos": len(work.selection),
        "rows": work.selection.rows,
        "files": work.files,
        "resumed": work.resumed,
    }
    if not dry_run:
        try:
            _carry_out(work)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped; what is finished stays. Go on with:  {this_command()}"
            ) from None
    if json_output:
        say_json({**result, "proven": not dry_run})
        return
    noun = f"{work.selection.kind.noun}s"
    told = f"{work.selection.rows:,} {noun} of {len(work.selection):,} videos"
    if dry_run:
        say(f"Would write {told} into {work.files:,} files under {result['to']}; nothing written.")
        return
    say(f"Exported {told} into {result['to']}; every row was read back and counted.")


def _carry_out(work: Export) -> None:
    from rich.progress import Progress

    from vfeat.cli.terminal import has_bars, make_console, say

    phase = ""
    console = make_console(stderr=True)
    with Progress(console=console, transient=True, disable=not has_bars()) as bars:
        task = bars.add_task("Exporting", total=work.selection.rows)
        for step in work.run():
            if step.phase != phase:
                phase = step.phase
                if not has_bars():
                    say(f"{phase.capitalize()} {work.selection.rows:,} rows", to_stderr=True)
            bars.update(task, description=phase.capitalize(), completed=step.rows)
