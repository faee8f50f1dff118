"""Training heads on stored features."""
