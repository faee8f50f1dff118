"""Real faults: the command as a user runs it, on real Ray, while things die around it.

The long form is `python -m tests.chaos --faults 300`; `test_short.py` is the short one.
"""
