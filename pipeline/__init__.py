"""Celery and the command line: what moves data from upstream to storage."""
