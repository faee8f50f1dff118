"""Options made from the fields of a job.

What the help prints of an option is all the field's: type, default, range, description and the
`Flag` marker. No value is checked here; that is the job's part.
"""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from vfeat.errors import JobError
from vfeat.job.flag import Flag

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

UNITS = {
    "seconds": "s",
    "minutes": "min",
    "megabytes": "MiB",
    "pixels": "pixels",
    "epochs": "epochs",
}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def make_option(name: str, info: FieldInfo, *, required: bool) -> inspect.Parameter:
    """Make the parameter of a field as typer reads it; None stands for what was not given."""
    value_type, choices = _value_type(info.annotation)
    flag = _flag(info)
    shown: dict[str, Any] = {
        "help": _help(name, info, value_type),
        "show_default": False,
        "rich_help_panel": flag.group,
    }
    if flag.argument is not None:
        marker = typer.Argument(metavar=flag.argument, **shown)
    else:
        marker = typer.Option(spelling(name, info), metavar=choices, **shown)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[value_type if required else value_type | None, marker],
    )


def spelling(name: str, info: FieldInfo) -> str:
    """Return the flag of a field, with the one that turns it off where it is not off anyway."""
    flag = _flag(info)
    if flag.spelling is not None:
        return flag.spelling
    dashed = name.replace("_", "-")
    if _value_type(info.annotation)[0] is bool and info.default is not False:
        return f"--{dashed}/--no-{dashed}"
    return f"--{dashed}"


def whole_numbers(flag: str, pairs: list[str]) -> dict[str, int]:
    """Read whole numbers by name from the `key=value` words of a flag.

    Raises:
        JobError: another word.
    """
    options: dict[str, int] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not value.lstrip("-").isdigit():
            raise JobError(f"{flag} {pair!r}: expected key=whole number")
        options[key.replace("-", "_")] = int(value)
    return options


def _flag(info: FieldInfo) -> Flag:
    return next(extra for extra in info.metadata if isinstance(extra, Flag))


def _value_type(annotation: Any) -> tuple[Any, str | None]:
    """Return the type of an option's words, and the choices where there are few."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not types.NoneType]
        return _value_type(inner[0])
    if get_origin(annotation) is Literal:
        values = get_args(annotation)
        return type(values[0]), "|".join(map(str, values))
    if annotation in (int, float, bool, str):
        return annotation, None
    return list[str], None  # tuples and mappings: a repeatable option


def _help(name: str, info: FieldInfo, value_type: Any) -> str:
    """Return the description with what else the field holds: unit, default and range."""
    ending = name.rpartition("_")[2] if value_type in (int, float) else ""
    facts = [_flag(info).unit or UNITS.get(ending)]
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
