"""The job: what a user asks for, as data."""
