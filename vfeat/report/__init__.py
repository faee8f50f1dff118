"""One HTML file about a dataset or a training, for people."""
