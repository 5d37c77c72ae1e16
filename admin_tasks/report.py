"""Making a report: the facts drawn, rendered, and put in their place."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from admin_tasks.figures import draw_boards, draw_chart, draw_coverage, draw_movers, pen_with
from admin_tasks.report_facts import ReportFacts
from admin_tasks.report_fonts import DEBIAN_PACKAGE, ReportFont, find_font, is_plain
from admin_tasks.report_rendering import (
    Page,
    PdfUnavailableError,
    render_html,
    render_mail,
    render_pdf,
)
from admin_tasks.report_summary import Summary, summarise
from admin_tasks.report_wording import counted
from market.boards import BoardKind
from storage.files import replace_file, unwritable

HTML_NAME, PDF_NAME = "report.html", "report.pdf"
_SETTING = "REPORTS_DIR"


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report that lies in its place.

    Attributes:
        user_id: Who asked for it.
        html: The page.
        pdf: The same as PDF; None: it could not be made.
        remarks: What the reader should know of the report itself, such as why there is no PDF.
    """

    user_id: str
    facts: ReportFacts
    summary: Summary
    html: Path
    pdf: Path | None
    remarks: tuple[str, ...]

    @property
    def session(self) -> date:
        """What it is about."""
        return self.facts.session

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        return self.html.as_uri()

    @property
    def files(self) -> list[Path]:
        """What can be sent on."""
        return [self.html] if self.pdf is None else [self.pdf, self.html]

    @property
    def subject(self) -> str:
        """What a mail about it is called."""
        return f"Market data {self.session}: {self.summary.verdict.value}"

    def mail_html(self) -> str:
        """The summary as a page for a mail, whose readers take no pictures and no styles."""
        return render_mail(self.summary, self.session)

    def as_json(self) -> dict[str, Any]:
        """What a task answers: JSON values only, and no more than a message should carry."""
        return {
            "user_id": self.user_id,
            "report_url": self.url,
            "session": self.session.isoformat(),
            "verdict": self.summary.verdict.value,
            "headline": self.summary.headline,
            "html": str(self.html),
            "pdf": None if self.pdf is None else str(self.pdf),
            "remarks": list(self.remarks),
        }


def write_report(
    facts: ReportFacts, folder: Path, *, user_id: str, font: Path | None = None
) -> MadeReport:
    """Write the report of a session as HTML and PDF. Doing it again replaces both, each at once.

    Args:
        facts: What it states.
        folder: Where reports lie; each session has a folder in it.
        user_id: Who asks.
        font: The font for Chinese names; None: the best one installed.

    Raises:
        ConfigurationError: The font given is none, or has no Chinese characters.
        UnwritableError: The folder cannot be written; an earlier report stays as it was.
    """
    summary = summarise(facts)
    chosen = find_font(characters_of(facts), font)
    remarks = list(_about_font(facts, chosen))
    page = Page(facts, summary, draw_figures(facts, chosen), chosen, user_id, tuple(remarks))
    place = folder / facts.session.isoformat()
    pdf: Path | None = place / PDF_NAME
    try:
        printed = render_pdf(page)
    except PdfUnavailableError as error:
        pdf = None
        _remove(place / PDF_NAME)  # an earlier one would contradict the page
        remarks.append(error.message)
    else:
        replace_file(place / PDF_NAME, lambda path: _keep(path, printed), setting=_SETTING)
    shown = Page(facts, summary, page.figures, chosen, user_id, tuple(remarks))
    text = render_html(shown).encode()
    replace_file(place / HTML_NAME, lambda path: _keep(path, text), setting=_SETTING)
    return MadeReport(user_id, facts, summary, place / HTML_NAME, pdf, tuple(remarks))


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error, _SETTING) from error


def _keep(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def characters_of(facts: ReportFacts) -> str:
    """Every character of the facts that a Latin font may lack, once each."""
    text = json.dumps(asdict(facts), ensure_ascii=False, default=str)
    return "".join(sorted({character for character in text if not is_plain(character)} - {"\n"}))


def _about_font(facts: ReportFacts, font: ReportFont | None) -> list[str]:
    if font is None:
        said = (
            "No font with Chinese characters is installed here, so pictures and PDF show codes "
            f"instead of names: install one (Debian: {DEBIAN_PACKAGE}) or set REPORT_FONT."
        )
        return [said]
    lacking = [name for name in _names(facts) if not font.shows(name)]
    if not lacking:
        return []
    said = (
        f"The font {font.source.name} lacks characters of {counted(len(lacking), 'name')} here: "
        "pictures and PDF show codes instead. REPORT_FONT names another font."
    )
    return [said]


def _names(facts: ReportFacts) -> set[str]:
    market = facts.market
    movers = [mover.name for mover in (*market.gainers, *market.losers)]
    boards = [board.name for board in market.boards]
    chart = [] if market.chart is None else [market.chart.name]
    return {name for name in (*facts.names.values(), *movers, *boards, *chart) if name}


def draw_figures(facts: ReportFacts, font: ReportFont | None) -> Mapping[str, bytes]:
    """The pictures that the facts give reason for, by name."""
    market = facts.market
    figures = {}
    with pen_with(font) as pen:
        if facts.freshness:
            figures["coverage"] = draw_coverage(facts.freshness)
        if market.gainers or market.losers:
            figures["movers"] = draw_movers(market.gainers, market.losers, pen)
        for kind in BoardKind:
            if boards := market.boards_of(kind):
                figures[kind.value] = draw_boards(boards, pen)
        if market.chart is not None:
            figures["chart"] = draw_chart(market.chart)
    return figures
