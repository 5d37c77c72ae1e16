"""What the processes of a benchmark agree on."""

FETCH, COMMIT = "pipeline.fetch_batch", "pipeline.commit_wave"
"""The tasks of our chords."""

ENDED = "quantsync-bench-ended"
"""A list in the result backend: ``run epoch-second`` for each body that ran."""
