"""Training of a network that finds clips by words, from a list of clips with captions.

    caption list -> probing -> feed of clips, or vectors of frozen ones -> objective (`losses.py`)
                 -> trainer -> the loop of `train/encoder` -> store

Clips, their order, the schedule, checkpoints and curves are those of `train/encoder`. `run.py`
combines the parts; `frozen.py` embeds clips once when words alone are trained.
"""
