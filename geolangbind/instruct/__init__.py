"""Instruction training: pairs of sequences from many sources, in task-homogeneous batches, one contrastive loss."""
