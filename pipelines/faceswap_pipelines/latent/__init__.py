"""Latent: what a model's latent knows of faces, in maps, figures and films."""
