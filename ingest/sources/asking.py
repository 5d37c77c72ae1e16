"""One call of AKShare, its requests observed: a failure is told from the bodies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from ingest import wire
from ingest.source import SchemaDriftError, SourceError
from market.errors import QuantsyncError

Diagnosis = Callable[[Sequence[wire.Exchange], Exception | None], SourceError]
"""Says what really happened, by the bodies and what AKShare tripped over; None: an empty frame."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What AKShare made of an answer, and the bodies it made it of."""

    frame: pd.DataFrame
    exchanges: Sequence[wire.Exchange]


def ask(
    call: Callable[[], pd.DataFrame], diagnose: Diagnosis, *, may_be_empty: bool = False
) -> Answer:
    """The answer to a call, which has rows.

    Args:
        call: Of AKShare.
        diagnose: Asked where it fails.
        may_be_empty: Whether no rows are an answer, too.

    Raises:
        SourceError: The wire's, or what the diagnosis finds.
    """
    with wire.observed_within() as seen:
        try:
            frame = call()
        except QuantsyncError:
            raise  # a typed failure, or the batch's own end
        except Exception as error:
            # AKShare raises whatever its parsing trips over; V8 raises what its script does.
            raise diagnose(seen.exchanges, error) from error
        if frame.empty and not may_be_empty:
            raise diagnose(seen.exchanges, None)
    return Answer(frame, seen.exchanges)


def drift(what: str, context: dict[str, object], error: Exception | None) -> SchemaDriftError:
    """For a body that shows nothing wrong and still cannot be read."""
    found = "no rows in it" if error is None else f"{type(error).__name__}: {error}"
    return SchemaDriftError(
        f"AKShare cannot read the answer for {what} ({found}): it or the upstream changed", context
    )
