"""``quantsync bench web`` walks every step; its figures mean nothing at this size."""

from pathlib import Path

from pipeline.bench.sections import Bench, measure


def test_the_benchmark_of_the_web_application_walks_every_step(tmp_path: Path) -> None:
    """A real process that serves, a real sync beside it: every figure is held against another."""
    said: list[str] = []
    section = measure("web", Bench(tmp_path, seed=1, quick=True, say=said.append))

    names = [figure.name for figure in section.figures]
    assert len(names) == len(set(names)) == 8
    assert all(figure.value > 0 and figure.reference > 0 for figure in section.figures)
    bound = {str(figure.target) for figure in section.figures if figure.target}
    assert bound == {
        "at most 3 of the reference",
        "at most 10 of the reference",
        "at most 1.15 of the reference",
        "at most 50",
    }
    assert len(said) == 4
    assert section.missing == []
