"""A stretch of a video in a form that browsers play."""
