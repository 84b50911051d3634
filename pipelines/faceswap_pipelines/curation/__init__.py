"""Curate: look at the faces of a faceset, and choose which to learn from."""
