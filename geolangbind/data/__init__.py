"""Data: samples in indexed shards, their order, and batches of them; rasters in."""
