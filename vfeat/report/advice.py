"""What an error class means to a person, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.errors import ErrorClass


@dataclass(frozen=True)
class Advice:
    """One sentence each."""

    meaning: str
    action: str


ADVICE: dict[ErrorClass, Advice] = {
    "unreadable": Advice(
        "The bytes are not a video container, or not one that vfeat opens.",
        "Look at the first bytes with `file NAME`; copy the file again if the copy was cut off, or "
        "leave it out of the list.",
    ),
    "no_video": Advice(
        "A container without a video stream, most often sound alone.",
        "Leave the file out of the list; nothing is lost.",
    ),
    "undecodable": Advice(
        "A video stream that does not yield the frames it promises.",
        "Play it at the named second. If it is damaged, the rows of its other clips are valid; if "
        "it plays, try another decoder in a dataset of its own.",
    ),
    "crashed": Advice(
        "The decoder process died, or broke the rules of its sandbox.",
        "Run again with `--retry-errors crashed`. A file that crashes each time is worth a report "
        "to the decoder's authors; be careful with its source.",
    ),
    "timeout": Advice(
        "The decoder made no progress, or used up the budget of its unit.",
        "Run again with `--retry-errors timeout` on a quieter machine, or with a larger "
        "`--decode-timeout-seconds`.",
    ),
    "too_large": Advice(
        "A frame or a video above the configured limits.",
        "Raise the limit that the message names, if the machine's memory allows it, and run again "
        "with `--retry-errors too_large`.",
    ),
    "storage": Advice(
        "The bytes could not be read from storage.",
        "Check that the object is there and may be read, then run again with "
        "`--retry-errors storage`.",
    ),
    "internal": Advice(
        "A bug in vfeat.",
        "Report it with the message; the clips can be retried after an update with "
        "`--retry-errors internal`.",
    ),
}
UNKNOWN = Advice("A class of another version of vfeat.", "See `vfeat errors`.")


def advice_for(error_class: str) -> Advice:
    """Return the advice for a class as it stands in a table."""
    return next((advice for name, advice in ADVICE.items() if name == error_class), UNKNOWN)
