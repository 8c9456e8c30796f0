"""Scores: metrics, prompts, zero-shot classification of shards and of a user's rasters."""
