"""Weights in the package: generated clips, trainings, benchmarks.

    corpora.py -> clip lists and flow tables -> trainings.py -> videomamba_motion
                                                styles.py    -> camera_style
    words_corpus.py -> clip_facts.py -> captions.py -> words.py -> camera_words

`python -m recipes.camera_motion --help` lists the commands.
"""
