"""Configuration of stage two's models, which read feature sequences; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from vfeat.errors import JobError, did_you_mean

HEADS = ("vis4mer",)
Kernel = Literal["nplr", "s4d"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)


@dataclass(frozen=True)
class Vis4merConfig:
    """Configuration of a ViS4mer; the fields are the keys of `create_model("vis4mer")`.

    Attributes:
        d_input: width of a feature; 1024 is that of ViT-L's tokens.
        l_max: steps that the S4 kernels are made for; longer sequences double them.
        d_output: number of classes, or 1 for a regression.
        d_model: width of the first layer; the input is projected if it has another width.
        n_layers: number of layers; each halves the steps and the width.
        dropout: share of channels dropped in training, in [0, 1).
        prenorm: normalise before S4, not after the residual.
        kernel: `nplr`, the published S4, or `s4d`, diagonal state spaces.
    """

    d_input: int
    l_max: int
    d_output: int
    d_model: int = 1024
    n_layers: int = 3
    dropout: float = 0.2
    prenorm: bool = True
    kernel: Kernel = "nplr"


COUNTS = ("d_input", "l_max", "d_output", "d_model", "n_layers")
# Far beyond any head, so that a damaged config.json asks for no more memory than there is.
MOST = {"d_input": 1 << 16, "l_max": 1 << 22, "d_output": 1 << 20, "d_model": 1 << 16,
        "n_layers": 16}  # fmt: skip
NEEDED = ("d_input", "l_max", "d_output")


def resolve_head(
    config: Mapping[str, Any], stored: Mapping[str, Any] | None = None
) -> Vis4merConfig:
    """Return the full configuration: the user's values, then the weights' own, then the defaults.

    Args:
        config: the user's values, by field of `Vis4merConfig`.
        stored: the configuration stored beside the weights, if any.

    Raises:
        JobError: an unknown or missing field, or a value that is not possible.
    """
    known = [field.name for field in fields(Vis4merConfig)]
    for key in config:
        if key not in known:
            hint = did_you_mean(key, known) or f"there are {', '.join(known)}"
            raise JobError(f"Model vis4mer has no option {key!r}; {hint}")
    given = {k: v for k, v in (stored or {}).items() if k in known} | dict(config)
    missing = [key for key in NEEDED if key not in given]
    if missing:
        raise JobError(f"Model vis4mer needs {', '.join(missing)}; it has no default for them")
    resolved = Vis4merConfig(**given)
    _check_values(resolved)
    return resolved


def _check_values(config: Vis4merConfig) -> None:
    for name in COUNTS:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise JobError(f"Model vis4mer: {name} is a whole number of at least 1, not {value!r}")
        if value > MOST[name]:
            raise JobError(f"Model vis4mer: {name} is at most {MOST[name]:,}, not {value!r:.40}")
    smallest = 2**config.n_layers
    # The official kernel of the last layer has 2 (l // 2) taps: l = 1 gives none.
    if config.d_model < smallest or (config.kernel == "nplr" and config.l_max < smallest):
        raise JobError(
            f"Model vis4mer: {config.n_layers} layers halve d_model {config.d_model} and l_max "
            f"{config.l_max} too often; both must be at least {smallest}"
        )
    dropout = config.dropout
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout < 1:
        raise JobError(f"Model vis4mer: dropout is at least 0 and below 1, not {dropout!r}")
    if not isinstance(config.prenorm, bool):
        raise JobError(f"Model vis4mer: prenorm is true or false, not {config.prenorm!r}")
    if config.kernel not in KERNELS:
        raise JobError(
            f"Model vis4mer: kernel is one of {', '.join(KERNELS)}, not {config.kernel!r}"
        )
