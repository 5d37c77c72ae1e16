"""A market made from a seed: symbols, daily bars, minutes, boards."""
