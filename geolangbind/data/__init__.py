"""Data: samples in indexed shards, their order, and batches of them; rasters in."""

import os

os.environ.setdefault("WDS_SECURE", "1")  # read when webdataset is imported: no shell pipes, no pickle
