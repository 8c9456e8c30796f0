"""Pictures of models and results: alignment, feature heatmaps, model by dataset, curves, confusion."""
