"""How the test clips are drawn, encoded and damaged; run by `tests/make_clips.py`."""
