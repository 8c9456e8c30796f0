"""Training: settings, losses of a step, the loop, checkpoints, and the run that puts them together."""
