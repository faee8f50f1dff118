"""`python -m vfeat`: the command line."""

from vfeat.cli import main

main()
