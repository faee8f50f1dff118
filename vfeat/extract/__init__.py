"""What one unit does, wherever it runs: probe, decode, encode, write."""
