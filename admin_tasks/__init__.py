"""Email, reports, backup, clean-up: what tells and serves people."""
