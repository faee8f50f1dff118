"""Training of a VideoMamba on a list of clips.

    listing -> probing -> feed (decoder children, cache, prefetch) -> augment
            -> objective -> trainer (recipe) -> loop -> store

`training.py` combines them in each process; `run.py` and `spawn.py` start the processes, and
`peers.py` connects them. `objectives/base.py` defines what a training minimises,
`objectives/factory.py` builds it, with a network: `distillation.py` and `masked.py` have a frozen
`teacher.py` or `frame_teacher.py` whose clips are prepared by `teacher_input.py`; `masks.py` hides
tokens, `alignment.py` compares them.
"""
