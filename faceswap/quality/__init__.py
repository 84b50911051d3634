"""How good a model and its swaps are, in numbers: pure functions over pictures, face meshes, masks and embeddings.

`reconstruction` looks at rebuilt faces beside the true ones; `motion`, `looks` and `likeness` at a swapped video beside
the one that was swapped; `scales` says of each number what it means and what good is.
"""
