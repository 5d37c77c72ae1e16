"""The texts of the page, in the languages it speaks."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from fastapi import Request

FOLDER = Path(__file__).parents[1] / "texts"
LANGUAGES = ("en", "zh")
"""The first is that of whoever names none of them."""
COOKIE = "quantsync_language"


class Texts:
    """The texts of one language, by their keys.

    Args:
        language: One of :data:`LANGUAGES`.
        texts: All of them.
    """

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """A text with its values put in.

        Raises:
            KeyError: There is no such text: a template is wrong.
        """
        text = self._texts[key]
        return text.format(**values) if values else text

    def named(self, group: str, name: object) -> str:
        """What a value of a group is called, such as an outcome; its own name where none is."""
        return self._texts.get(f"{group}.{name}", str(name).replace("_", " "))

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self._texts


@lru_cache(maxsize=len(LANGUAGES))
def read_texts(language: str) -> Texts:
    """The texts of a language.

    Raises:
        KeyError: It is none of :data:`LANGUAGES`.
    """
    if language not in LANGUAGES:
        raise KeyError(language)
    path = FOLDER / f"{language}.json"
    return Texts(language, flat(json.loads(path.read_text(encoding="utf-8"))))


def flat(tree: Mapping[str, object], before: str = "") -> dict[str, str]:
    """``{"nav": {"symbols": "…"}}`` as ``{"nav.symbols": "…"}``."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        else:
            found[before + name] = str(value)
    return found


def texts_for(request: Request) -> Texts:
    """The texts that a reader chose; else those that their browser asks for."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return read_texts(chosen)
    return read_texts(_preferred(request.headers.get("accept-language", "")))


def _preferred(header: str) -> str:
    """The language of ours that ``Accept-Language`` likes best."""
    best, weight = LANGUAGES[0], 0.0
    for part in header.split(","):
        name, _, quality = part.partition(";")
        language = name.strip().lower().partition("-")[0]
        given = _weight(quality)
        if language in LANGUAGES and given > weight:
            best, weight = language, given
    return best


def _weight(quality: str) -> float:
    text = quality.strip().removeprefix("q=")
    if not text:
        return 1.0
    try:
        return float(text)
    except ValueError:
        return 0.0
