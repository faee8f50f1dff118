"""Options of a command, made from the fields of its job.

A command is its own few parameters and a function that gets the fields that were given. What the
help prints of an option is all the field's: type, default, range, description and `Flag` marker.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperCommand
from typer.main import get_command

from vfeat.job.flag import GROUPS, Flag
from vfeat.job.kinds import KINDS, load

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

OTHER = "Other"  # heading of the options that are no field of a job
UNITS = {
    "seconds": "s",
    "minutes": "min",
    "megabytes": "MiB",
    "pixels": "pixels",
    "epochs": "epochs",
}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
Reader = Callable[[list[str]], Any]


@dataclass(frozen=True)
class JobCommand:
    """A command whose options are the fields of a kind of job.

    Attributes:
        kind: name in the table of jobs.
        run: function that is called with the given fields and the command's own options; its
            docstring is the command's help.
        readers: functions that turn the words of a repeatable option into a field's value;
            without one, words are the value.
        from_file: the job may come from a file, so that no field has to be given.
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

        def command(**given: Any) -> None:
            asked: dict[str, Any] = {}
            for name in [name for name in given if name in model.model_fields]:
                value = given.pop(name)
                if value is None or value == []:  # not on the command line
                    continue
                reader = self.readers.get(name)
                asked[name] = value if reader is None else reader(value)
            self.run(asked, **given)

        model = load(KINDS[self.kind].job)
        signature = inspect.signature(self.run, eval_str=True)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in signature.parameters.items()
            if name != "fields"
        ]
        fields = {name: info for name, info in model.model_fields.items() if name != "kind"}
        options = [_option(name, info, self.from_file) for name, info in fields.items()]
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


def _option(name: str, info: FieldInfo, from_file: bool) -> inspect.Parameter:
    """Make the parameter of a field as typer reads it; None stands for what was not given."""
    flag = next(extra for extra in info.metadata if isinstance(extra, Flag))
    # A file of the job may give what the command line leaves out.
    required = info.is_required() and not from_file
    value_type, choices = _value_type(info.annotation)
    shown: dict[str, Any] = {
        "help": _help(name, info, flag, value_type),
        "show_default": False,
        "rich_help_panel": flag.group,
    }
    if flag.argument is not None:
        marker = typer.Argument(metavar=flag.argument, **shown)
    else:
        on = "--" + name.replace("_", "-")
        if value_type is bool and info.default is not False:
            on = f"{on}/--no-{name.replace('_', '-')}"
        marker = typer.Option(flag.spelling or on, metavar=choices, **shown)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[value_type if required else value_type | None, marker],
    )


def _value_type(annotation: Any) -> tuple[Any, str | None]:
    """Return the type of an option's words, and the choices where there are few."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not types.NoneType]
        return _value_type(inner[0]) if len(inner) == 1 else (str, None)
    if get_origin(annotation) is Literal:
        values = get_args(annotation)
        return type(values[0]), "|".join(map(str, values))
    if annotation in (int, float, bool, str):
        return annotation, None
    return list[str], None  # tuples and mappings: a repeatable option


def _help(name: str, info: FieldInfo, flag: Flag, value_type: Any) -> str:
    """Return the description with what else the field holds: unit, default and range."""
    facts = [flag.unit or UNITS.get(name.rpartition("_")[2] if value_type is not bool else "")]
    if value_type == list[str]:
        facts.append("repeatable")
    if isinstance(info.default, bool):
        facts.append(f"default: {'on' if info.default else 'off'}")
    elif isinstance(info.default, int | float | str):
        facts.append(f"default: {str(info.default).removesuffix('.0')}")
    bounds = [
        f"{words} {getattr(extra, bound)}"
        for extra in info.metadata
        for bound, words in BOUNDS.items()
        if hasattr(extra, bound)
    ]
    facts.append(" and ".join(bounds))
    known = "; ".join(fact for fact in facts if fact)
    return f"{info.description}." + (f"  [{known}]" if known else "")
