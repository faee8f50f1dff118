"""The Parquet files: their columns, units, keys, and the dataset they make."""
