"""Training a VideoMamba on a list of clips.

    listing -> probing -> feed (decoder children, cache, prefetch) -> augment
            -> objective -> trainer (recipe) -> loop -> store

`training.py` puts them together in each process; `run.py` and `spawn.py` start the processes, and
`peers.py` is what they know of each other. `objective.py` says what a training minimises,
`objectives.py` builds it, with a network: `distill.py` and `pretrain.py` have a frozen `teacher.py`
or `frame_teacher.py` that sees the clip through `sight.py`; `masks.py` hides tokens, `alignment.py`
compares them.
"""
