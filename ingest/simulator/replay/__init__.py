"""A market made of recorded files."""
