"""What the forms of the page have in common."""

from datetime import date

from fastapi import Depends, Request

from market.errors import UsageError
from web.sessions import CSRF_FIELD, CSRF_HEADER


async def read_form_token(request: Request) -> None:
    """Let a plain form carry the CSRF token in a field, as no browser sends headers with one."""
    if CSRF_HEADER not in request.headers:
        form = await request.form()
        request.state.csrf_token = str(form.get(CSRF_FIELD, ""))


FormToken = Depends(read_form_token)
"""Stands among the dependencies of every route that a form is sent to: they are asked first."""


def read_day(text: str, field: str) -> date | None:
    """A day of a form; None where it was left empty.

    Raises:
        UsageError: Not a day.
    """
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is no day: write it as 2025-12-31", {"field": field}) from None
