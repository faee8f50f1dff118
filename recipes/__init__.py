"""How the weights in `vfeat/box` were made; beside the package, and never imported by it."""
