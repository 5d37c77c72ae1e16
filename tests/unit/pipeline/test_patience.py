"""Patience: faults that pass are waited for, others are not."""

import time

import pytest

from pipeline.patience import patiently
from storage.errors import CorruptFileError, DatabaseUnreachableError, DiskFullError, StorageError


def test_a_fault_that_passes_is_waited_for() -> None:
    """And what is done meanwhile is done at every try."""
    faults: list[StorageError] = [DatabaseUnreachableError("away"), DiskFullError("full")]
    looks: list[int] = []

    def call() -> str:
        if faults:
            raise faults.pop()
        return "done"

    until = time.monotonic() + 10
    said = patiently(call, until=until, what="a test", meanwhile=lambda: looks.append(1))

    assert (said, len(looks)) == ("done", 2)


def test_a_fault_that_no_waiting_cures_is_raised_at_once() -> None:
    """A corrupt file stays corrupt."""
    began = time.monotonic()

    def call() -> None:
        raise CorruptFileError("rotten")

    with pytest.raises(CorruptFileError):
        patiently(call, until=began + 10, what="a test")
    assert time.monotonic() - began < 0.2


def test_patience_ends_with_the_last_fault() -> None:
    """At the instant that was given."""
    began = time.monotonic()

    def call() -> None:
        raise DiskFullError("full")

    with pytest.raises(DiskFullError):
        patiently(call, until=began + 0.5, what="a test")
    assert time.monotonic() - began < 1.5
