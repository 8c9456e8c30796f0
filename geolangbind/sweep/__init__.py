"""Merges tried out in memory on a validation set: coefficients by a grid, ingredients of a soup one after another."""
