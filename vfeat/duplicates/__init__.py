"""Partial copies among the videos of a dataset, found in the stored clip vectors alone."""
