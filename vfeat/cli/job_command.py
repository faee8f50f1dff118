"""Commands whose options are the fields of a job."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from vfeat.cli.job_flags import make_option, spelling, whole_numbers
from vfeat.job.flag import GROUPS
from vfeat.job.kinds import KINDS, load

OTHER = "Other"  # heading of the options that are no field of a job
Reader = Callable[[list[str]], Any]


@dataclass(frozen=True)
class JobCommand:
    """A command whose options are the fields of a kind of job, and a few of its own.

    Attributes:
        kind: name in the table of jobs.
        run: function that is called with the given fields (the parameter `fields`) and the
            command's own options (its further parameters); its docstring is the help.
        readers: functions that turn the words of a repeatable option into a field's value;
            without one, a mapping to whole numbers is read from key=value, and the words of
            other fields are the value.
        from_file: a job file may give what the command line leaves out.
    """

    kind: str
    run: Callable[..., None]
    readers: Mapping[str, Reader] = field(default_factory=dict)
    from_file: bool = False

    def add_to(self, app: typer.Typer, name: str) -> None:
        """Register the command; its job is imported when its options are asked for."""

        def placeholder() -> None:
            raise AssertionError("replaced by the real command")

        placeholder.__doc__ = self.run.__doc__
        job_command = self

        class LazyCommand(GroupedCommand):
            """Command that makes its options late: pydantic alone takes as long as `--help`."""

            is_built = False

            def get_params(self, ctx: Any) -> list[Any]:
                if not self.is_built:
                    built = job_command.build()
                    self.params, self.callback, self.is_built = built.params, built.callback, True
                return super().get_params(ctx)

        app.command(name, cls=LazyCommand)(placeholder)

    def build(self) -> Any:
        """Return the command with all its options, as click has it."""
        model = load(KINDS[self.kind].job)
        fields = {name: info for name, info in model.model_fields.items() if name != "kind"}
        readers: dict[str, Reader] = {
            name: partial(whole_numbers, spelling(name, info))
            for name, info in fields.items()
            if info.annotation == dict[str, int]
        }
        readers.update(self.readers)

        def command(**values: Any) -> None:
            given: dict[str, Any] = {}
            for name in fields:
                value = values.pop(name)
                if value is None or value == []:  # not on the command line
                    continue
                given[name] = readers[name](value) if name in readers else value
            self.run(given, **values)

        options = [
            make_option(name, info, required=info.is_required() and not self.from_file)
            for name, info in fields.items()
        ]
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(self.run, eval_str=True).parameters.items()
            if name != "fields"
        ]
        command.__signature__ = inspect.Signature([*options, *own])  # type: ignore[attr-defined]
        made = typer.Typer(add_completion=False)
        made.command()(command)
        return get_command(made)


class GroupedCommand(TyperCommand):
    """Command whose help lists its options under headings, in plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each group that has an option."""
        sections: dict[str, list[tuple[str, str]]] = {flag.group: [] for flag in GROUPS}
        # Positional arguments first, whatever their place among the fields.
        params = sorted(self.get_params(ctx), key=lambda p: p.param_type_name != "argument")
        for param in params:
            record = param.get_help_record(ctx)
            if record is not None:
                heading = getattr(param, "rich_help_panel", None) or OTHER
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
