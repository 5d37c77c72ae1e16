"""The page speaks both of its languages whole."""

import re
from collections.abc import Iterable
from pathlib import Path
from string import Formatter

import pytest

from ingest.source import Outcome
from ingest.validation import RULES
from market.periods import Period
from pipeline.request import KINDS
from scheduling.beat import JOBS
from scheduling.gates import Gate
from scheduling.slots import SLOT_RULES
from storage.board_history import BoardEvent
from storage.gaps import Reason
from storage.run_records import RunState, Work
from web.pages import rendering
from web.pages.formats import Formats
from web.pages.texts import LANGUAGES, read_texts

TEMPLATES = sorted((Path(rendering.__file__).parents[1] / "templates").rglob("*.html"))
NAMED: dict[str, Iterable[object]] = {
    "outcome": Outcome, "rule": RULES, "period": Period, "kind": KINDS, "gate": Gate,
    "entry": (*SLOT_RULES, *JOBS), "event": BoardEvent, "reason": Reason, "state": RunState,
    "work": Work,
}  # fmt: skip


def texts(language: str) -> dict[str, str]:
    return dict(read_texts(language)._texts)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    first, second = (texts(language) for language in LANGUAGES)
    assert first.keys() == second.keys()
    assert [key for key in first if fields(first[key]) != fields(second[key])] == []
    assert [key for key in first if not first[key].strip() or not second[key].strip()] == []


def test_every_text_of_a_template_exists_and_none_is_left_over() -> None:
    known = set(texts(LANGUAGES[0]))
    source = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    exact = set(re.findall(r"""\bt\(['"]([a-z0-9_.]+)['"][,)]""", source))
    begun = set(re.findall(r"""\bt\(['"]([a-z_]+\.)['"] ~""", source))
    groups = {f"{name}." for name in re.findall(r"""t\.named\(['"]([a-z]+)['"]""", source)}
    assert exact - known == set()
    python = {"time.", "status."}
    used = {k for k in known if k in exact or k.startswith((*begun, *groups, *python))}
    assert known - used == set()


@pytest.mark.parametrize("group", NAMED)
def test_every_value_of_a_group_is_called_something_in_both_languages(group: str) -> None:
    for language in LANGUAGES:
        known = texts(language)
        assert [str(name) for name in NAMED[group] if f"{group}.{name}" not in known] == []


def test_numbers_and_spans_are_written_as_the_language_writes_them() -> None:
    english, chinese = (Formats(read_texts(language)) for language in LANGUAGES)
    assert (english.short(3_391_284_032), chinese.short(3_391_284_032)) == ("3.39B", "33.91亿")
    assert (english.short(12_345), chinese.short(12_345)) == ("12.35k", "1.23万")
    assert english.percent(-0.0219) == "−2.19%"
    assert english.percent(0.0001) == "+0.01%"
    assert english.percent(-0.00001) == "0.00%"
    assert english.percent(None) == english.number(float("nan")) == "–"
    assert english.portion(0.999) == "99%"
    assert [english.span(s) for s in (59.6, 3599, 90_000)] == [
        "1 min 0 s",
        "59 min 59 s",
        "1 d 1 h",
    ]
    assert chinese.span(61) == "1 分 1 秒"
    assert english.instant(1_767_164_400.0) == "2025-12-31 15:00:00"
