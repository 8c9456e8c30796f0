"""The interleaved demo on the synthetic planet: its world, controls and report."""
