"""The study on the planet: arms, seeds, measurements, report."""
