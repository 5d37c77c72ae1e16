"""What a market is: symbols, periods, sessions, bars and boards. Pure; no I/O."""
