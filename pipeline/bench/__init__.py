"""What quantsync costs: every figure a ratio to something measured in the same run."""
