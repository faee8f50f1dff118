"""Weights `videomamba_motion` and `camera_style`: generated clips, trainings, benchmark.

    corpora.py -> clip lists and flow tables -> trainings.py -> videomamba_motion
                                                styles.py    -> camera_style

`python -m recipes.camera_motion --help` lists the commands.
"""
