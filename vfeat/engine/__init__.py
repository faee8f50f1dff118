"""The generic engine: leases, executors and the run of a stage. No file here names a stage."""
