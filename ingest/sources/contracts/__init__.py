"""What we rely on in AKShare: recorded in a file, and compared with the AKShare installed."""
