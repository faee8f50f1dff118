"""A page on this machine that shows a dataset: search, results, the videos themselves."""
