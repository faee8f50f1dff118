"""Training a VideoMamba on a list of clips.

    listing -> probing -> feed (decoder children, cache, prefetch) -> augment
            -> objective -> trainer (recipe) -> loop -> store

`run.py` puts them together; `objective.py` says what a training minimises.
"""
