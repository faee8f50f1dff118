"""`make gpu`: everything that is measured and proved on one NVIDIA GPU, in steps."""
