"""Identities: a process is known dead only if it surely is."""

import subprocess
import sys

from pipeline.identity import identity_of_child, is_known_dead, process_identity


def test_a_process_is_alive_until_it_is_gone() -> None:
    """Also while it is a zombie that nobody has waited for, it counts as gone."""
    assert not is_known_dead(process_identity())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identity_of_child(child.pid)
    assert identity is not None
    assert not is_known_dead(identity)

    child.kill()
    child.wait()

    assert is_known_dead(identity)
    assert identity_of_child(child.pid) is None


def test_a_later_process_of_the_same_number_is_another_one() -> None:
    """Numbers come again; the start tells them apart."""
    table, _, start = process_identity().rpartition("/")

    assert is_known_dead(f"{table}/{int(start) - 1}")


def test_of_a_process_elsewhere_nothing_is_known() -> None:
    """Another host, another container, another boot: its lease must run out."""
    host, namespace, pid, start = process_identity().split("/")

    assert not is_known_dead(f"other/{namespace}/{pid}/{int(start) - 1}")
    assert not is_known_dead(f"{host}/other/{pid}/{int(start) - 1}")
    assert not is_known_dead("")
    assert not is_known_dead("nonsense")
