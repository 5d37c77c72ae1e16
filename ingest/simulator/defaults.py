"""The market that every simulator serves unless it is told otherwise."""

SEED = 7
SYMBOLS = 60
