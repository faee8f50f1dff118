"""Recipes of the weights in `vfeat/box`; beside the package, which never imports them."""
