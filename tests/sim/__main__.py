"""Long form: `python -m tests.sim --seeds 1000`."""

from tests.sim.command import main

main()
