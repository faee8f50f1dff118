"""Features that somebody else extracted, as a features dataset."""
