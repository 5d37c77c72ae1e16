"""Numbers, instants and spans of time as people read them."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from market.clock import EXCHANGE_TZ, in_shanghai
from web.pages.texts import Texts

MISSING = "–"
_STEPS = {
    "en": ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")),
    "zh": ((1e12, "万亿"), (1e8, "亿"), (1e4, "万")),
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class Formats:
    """How values are written in one language. All instants are shown in Shanghai time."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def number(self, value: float | None, digits: int = 0) -> str:
        """``1,234.50``."""
        return MISSING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"

    def short(self, value: float | None) -> str:
        """A large number in few signs: ``1.2B``, in Chinese ``12.3亿``."""
        if value is None or not math.isfinite(value):
            return MISSING
        for step, name in _STEPS[self._texts.language]:
            if abs(value) >= step:
                return f"{value / step:.2f}".rstrip("0").rstrip(".") + name
        return f"{value:,.0f}"

    def percent(self, share: float | None, digits: int = 2) -> str:
        """A signed change: ``+1.25%``; one that rounds to none has no sign."""
        if share is None or not math.isfinite(share):
            return MISSING
        text = f"{share * 100:+.{digits}f}%"
        return text[1:].replace("-", "") if float(text[:-1]) == 0 else text.replace("-", "−")

    def portion(self, share: float | None) -> str:
        """A share without a sign: ``93%``; it is 100 % only when it is whole."""
        if share is None:
            return MISSING
        return f"{math.floor(share * 100) if share < 1 else 100}%"

    def span(self, seconds: float | None) -> str:
        """A span of time, in two units at most."""
        if seconds is None:
            return MISSING
        left = max(0, round(seconds))
        if left >= _DAY:
            return self._texts("time.days", d=left // _DAY, h=left % _DAY // _HOUR)
        if left >= _HOUR:
            return self._texts("time.hours", h=left // _HOUR, m=left % _HOUR // _MINUTE)
        if left >= _MINUTE:
            return self._texts("time.minutes", m=left // _MINUTE, s=left % _MINUTE)
        return self._texts("time.seconds", s=left)

    def instant(self, value: float | datetime | None) -> str:
        """``2025-12-31 15:05:00``; epoch seconds, or an aware instant."""
        found = _aware(value)
        return MISSING if found is None else f"{found:%Y-%m-%d %H:%M:%S}"

    def minute(self, value: float | datetime | None) -> str:
        """``12-31 15:05``."""
        found = _aware(value)
        return MISSING if found is None else f"{found:%m-%d %H:%M}"

    def all(self) -> dict[str, Callable[..., str]]:
        """Every format by its name, for templates."""
        names = ("number", "short", "percent", "portion", "span", "instant", "minute")
        return {name: getattr(self, name) for name in names}


def _aware(value: float | datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return None if value is None else in_shanghai(value)
    return datetime.fromtimestamp(value, UTC).astimezone(EXCHANGE_TZ)


def direction(change: float | None) -> str:
    """``up``, ``down`` or ``flat``: what a change is, for its colour and its sign."""
    if change is None or not math.isfinite(change) or change == 0:
        return "flat"
    return "up" if change > 0 else "down"
