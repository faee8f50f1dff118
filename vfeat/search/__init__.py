"""Similarity search over the embeddings of a dataset."""
