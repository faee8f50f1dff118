"""How a field of a job is written on the command line: a marker on the field's type.

    size: Annotated[int, CLIPS.measured_in("pixels")] = Field(224, ge=16, description="...")

Type, default, range and help are the field's own; the marker adds what a field has no place for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Flag:
    """Group, unit and spelling of the flag of a field.

    Attributes:
        group: heading of the help under which the flag stands.
        unit: unit of the value; None where the field's name ends with it.
        spelling: the flag where it is not the field's name with dashes, with the word that
            turns it off where it has one: `--flips/--no-flips`.
        argument: for a positional argument, its name in the help; it has no flag then.
    """

    group: str
    unit: str | None = None
    spelling: str | None = None
    argument: str | None = None

    def measured_in(self, unit: str) -> Flag:
        """Return the flag with a unit."""
        return replace(self, unit=unit)

    def spelled(self, spelling: str) -> Flag:
        """Return the flag with a spelling of its own."""
        return replace(self, spelling=spelling)

    def positional(self, argument: str) -> Flag:
        """Return a positional argument instead of a flag."""
        return replace(self, argument=argument)


# In the order of the help.
SOURCE = Flag("Source and output")
MODEL = Flag("Model")
CLIPS = Flag("Clips and frames")
OBJECTIVE = Flag("Objective")
TRAINING = Flag("Training")
DATA = Flag("Data")
EVALUATION = Flag("Evaluation")
STORED = Flag("What is stored")
WHERE = Flag("Where it runs")
LIMITS = Flag("Limits")
RETRIES = Flag("Retries")
GROUPS = (
    SOURCE, MODEL, CLIPS, OBJECTIVE, TRAINING, DATA, EVALUATION, STORED, WHERE, LIMITS, RETRIES,
)  # fmt: skip
