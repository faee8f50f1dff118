"""Where and when: leases, executors, the run. `cluster.py` alone imports Ray."""
