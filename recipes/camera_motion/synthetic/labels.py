"""Labels of the camera's motion; the names are the camera's own motion, not the picture's.

`pan_right`: the camera turns right, content moves left. `tilt_up`: content moves down.
`roll_cw`: the camera rolls clockwise, content turns counter-clockwise.
"""

from __future__ import annotations

from typing import Literal, get_args

Motion = Literal[
    "static", "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out",
    "roll_cw", "roll_ccw", "shake", "cut", "dissolve", "fade",
]  # fmt: skip
Transition = Literal["cut", "dissolve", "fade"]
Hardship = Literal["large subject", "followed subject", "living scene"]

LABELS: tuple[Motion, ...] = get_args(Motion)
TRANSITIONS: tuple[Transition, ...] = get_args(Transition)
HARDSHIPS: tuple[Hardship, ...] = get_args(Hardship)
