"""The crash test: the same place through any sensor should give the same vector. Needs no labels; runs on any `Embedder`."""
