"""Weights in, weights out: released checkpoints of other layouts, exports, the hub."""
