"""Two diagrams side by side over epochs, as a PNG; the frame of every picture of a training."""

from __future__ import annotations

import io
from typing import Any

from vfeat.errors import EnvironmentMissing


def two_diagrams() -> tuple[Any, Any, Any]:
    """Make a matplotlib figure and its two axes: losses, scores.

    Raises:
        EnvironmentMissing: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # no pyplot: no display, no global state
    except ImportError:
        raise EnvironmentMissing(
            "no picture of the curves: matplotlib is not installed. Run: pip install 'vfeat[plots]'"
        ) from None
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    return figure, losses, scores


def to_png(figure: Any) -> bytes:
    """Add legends and grids and return the PNG; the same bytes for the same figure."""
    for axes in figure.axes:
        # Below the axes, where no curve runs under it.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
