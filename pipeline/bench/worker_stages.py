"""Loaded by a worker beside its tasks, it keeps the CPU by stage: :mod:`pipeline.bench.stages`."""

from pipeline.bench.stages import follow

follow()
