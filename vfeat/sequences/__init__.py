"""Stored features as sequences: each video's clips in order, by row ranges, without a shuffle."""
