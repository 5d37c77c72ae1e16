"""From upstream bytes to clean Arrow tables."""
