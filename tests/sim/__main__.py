"""Long form: `python -m tests.sim --seeds 1000`."""

import sys

from tests.sim.command import main

sys.exit(main())
