"""The first page of a report in plain sentences: what is late, why, and what is gone for good."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from admin_tasks.report_facts import Freshness, Missing, ReportFacts
from admin_tasks.report_wording import DATASETS, WORKS, counted, span
from storage.gaps import Reason

REPAIR = "quantsync repair --gaps"
_BEGIN = "quantsync sync all"
_GO_BACK = "quantsync backfill --from {session}"

_CAUSES = {
    Reason.PROVISIONAL: "only bars that can still change are held",
    Reason.LOST: "they were fetched once, and the bars are not in the lake",
    Reason.UNPROVEN: "the upstream answered without a bar, and nothing proves that there was no "
    "trade",
    Reason.NEVER_FETCHED: "they were never fetched",
}


class Verdict(StrEnum):
    """What a report comes to."""

    EMPTY = "empty"
    COMPLETE = "complete"
    TROUBLED = "troubled"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a reader must know, in sentences.

    Attributes:
        late: What is late, one sentence each; empty: nothing is.
        why: Why, one sentence each.
        gone: What can no longer be had, and what soon cannot.
        remedy: The command that fetches what is late; None: nothing is.
    """

    verdict: Verdict
    headline: str
    late: tuple[str, ...]
    why: tuple[str, ...]
    gone: tuple[str, ...]
    remedy: str | None

    def text(self) -> str:
        """The summary as plain text, for a mail."""
        parts = [self.headline]
        for title, sentences in (
            ("What is late", self.late or ("Nothing.",)),
            ("Why", self.why or ("–",)),
            ("What can no longer be had", self.gone or ("Nothing.",)),
        ):
            parts.append("\n".join([title, *(f"- {sentence}" for sentence in sentences)]))
        if self.remedy:
            parts.append(f"To fetch what is late: {self.remedy}")
        return "\n\n".join(parts) + "\n"


def summarise(facts: ReportFacts) -> Summary:
    """Say what the facts come to."""
    verdict = _verdict(facts)
    return Summary(
        verdict=verdict,
        headline=_headline(facts, verdict),
        late=tuple(_late(row) for row in facts.freshness if row.owed),
        why=tuple(_reasons(facts)),
        gone=tuple(_gone(facts)),
        remedy=_remedy(facts, verdict),
    )


def _remedy(facts: ReportFacts, verdict: Verdict) -> str | None:
    if verdict is Verdict.EMPTY:
        return _GO_BACK.format(session=facts.session) if facts.holds_later else _BEGIN
    return REPAIR if verdict is Verdict.LATE else None


def _verdict(facts: ReportFacts) -> Verdict:
    if not facts.freshness:
        return Verdict.EMPTY
    if any(row.owed for row in facts.freshness):
        return Verdict.LATE
    if facts.runs.failures or facts.runs.failed:
        return Verdict.TROUBLED
    return Verdict.COMPLETE


def _headline(facts: ReportFacts, verdict: Verdict) -> str:
    if verdict is Verdict.EMPTY:
        tried = facts.runs.total
        since = f", and {counted(tried, 'run')} of this session brought none" if tried else ""
        if facts.holds_later:
            return f"No bars are held up to {facts.session}{since}; later ones are."
        return f"No bars are held{since}."
    series = sum(row.series for row in facts.freshness)
    if verdict is Verdict.LATE:
        late = sum(row.late_series for row in facts.freshness)
        owed = sum(row.owed for row in facts.freshness)
        lack = "lacks" if late == 1 else "lack"
        return (
            f"Not complete: {late:,} of {counted(series, 'series', 'series')} {lack} "
            f"{counted(owed, 'session')} that can still be fetched."
        )
    held = f"every bar that can be had of {counted(series, 'series', 'series')} is held"
    if verdict is Verdict.TROUBLED:
        return f"Complete up to {facts.session}: {held}. Some fetches or runs failed."
    return f"Complete up to {facts.session}: {held}."


def title_of(row: Freshness | Missing) -> str:
    """``Stocks, daily``."""
    return f"{DATASETS[row.dataset].capitalize()}, {row.period.value}"


def _late(row: Freshness) -> str:
    today = (
        f"{row.late:,} of {row.series:,} lack this session"
        if row.late
        else "this session is held, earlier ones are not"
    )
    complete = (
        f"complete up to {row.complete_to}" if row.complete_to else "complete up to no session yet"
    )
    return (
        f"{title_of(row)}: {today}; {counted(row.owed, 'session')} owed by "
        f"{counted(row.late_series, 'series', 'series')} since {row.late_since}; {complete}."
    )


def cause_of(row: Missing) -> str:
    """Why sessions are missing, with the upstream's words where fetches failed."""
    return _CAUSES.get(row.reason, row.says)


def _reasons(facts: ReportFacts) -> Iterator[str]:
    for row in facts.late:
        yield (
            f"{counted(row.sessions, 'session')} of {counted(row.series, 'series', 'series')} "
            f"({title_of(row).lower()}, {span(row.since, row.until)}): {cause_of(row)}."
        )
    for failure in facts.runs.failures:
        if failure.work not in ("kline", "board_kline"):  # of bars the gaps say more
            what = WORKS.get(failure.work, failure.work)
            yield (
                f"{what.capitalize()} ({counted(failure.subjects, 'fetch', 'fetches')}): "
                f"{failure.outcome}, {failure.reason}."
            )
    for kind, reason, count in facts.runs.failed:
        yield f"{counted(count, 'run')} ({kind}) failed: {reason}."
    for report in facts.budgets.reports:
        if report.effective_rate < report.permitted_rate:
            state = report.facts.state.value.replace("_", " ")
            rate = f"{report.effective_rate:.2f} of {report.permitted_rate:.2f} requests/s"
            yield (
                f"Requests to {report.domain} are held back ({state}, {rate}): "
                f"{report.facts.cause or 'no cause is recorded'}."
            )


def _gone(facts: ReportFacts) -> Iterator[str]:
    for row in facts.gone:
        yield (
            f"{title_of(row)}: {counted(row.sessions, 'session')} of "
            f"{counted(row.series, 'series', 'series')}, {span(row.since, row.until)}: {row.says}."
        )
    for each in facts.expiring:
        when = "the next close" if each.closes_left == 1 else f"{each.closes_left} closes"
        yield (
            f"Soon: {each.period.value} bars of {each.session}, owed by "
            f"{counted(each.series, 'symbol')}, are gone after {when}."
        )
