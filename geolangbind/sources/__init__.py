"""Public datasets to shards: cards say what a source holds, readers list its samples, `build` writes them."""
