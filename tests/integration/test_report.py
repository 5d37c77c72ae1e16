"""A report of a market that met troubles: what it states, draws and writes is what is held."""

import html
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pypdfium2
import pytest
from sqlalchemy import text

from admin_tasks.backup_files import BackupFolder
from admin_tasks.report import MadeReport, characters_of, draw_figures, write_report
from admin_tasks.report_facts import Budgets, ReportFacts
from admin_tasks.report_fonts import find_font, is_plain
from admin_tasks.report_rendering import Page, render_html
from admin_tasks.report_summary import Verdict, summarise
from ingest.pacing import Lane
from ingest.throttling import Answer
from market.bars import Dataset
from market.errors import ConfigurationError, UsageError
from market.periods import Period
from market.sessions import Window
from pipeline.bench.redis_server import free_port
from pipeline.budgets import open_budget
from pipeline.reporting import gather, make_report
from pipeline.runtime import Runtime
from storage.errors import UnwritableError
from tests.fixtures.troubled_market import (
    FIRST,
    INVALID,
    MISSING,
    RECOVERED,
    REFUSED,
    SESSION,
    TroubledMarket,
    new_market,
)


@pytest.fixture(scope="module")
def made(troubled_market: TroubledMarket) -> MadeReport:
    """The report, made once; a character without a glyph is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing from font.*")
        return make_report(troubled_market.runtime, "somebody")


@pytest.fixture(scope="module")
def page(made: MadeReport) -> str:
    """What a reader of the page sees: its text, with single spaces."""
    source = made.html.read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>", "", source, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.fixture(scope="module")
def printed(made: MadeReport) -> Iterator[pypdfium2.PdfDocument]:
    """The report as PDF."""
    assert made.pdf is not None
    document = pypdfium2.PdfDocument(str(made.pdf))
    yield document
    document.close()


def number(market: TroubledMarket, query: str) -> int:
    """A number from SQL."""
    with market.runtime.database.reading() as connection:
        return int(connection.execute(text(query)).scalar_one())


def short(facts: ReportFacts) -> ReportFacts:
    """The same with two movers and two boards, which draw as many do."""
    market = facts.market
    few = replace(market, gainers=market.gainers[:2], losers=(), boards=market.boards[:2])
    return replace(facts, market=replace(few, chart=None), freshness=facts.freshness[:1])


def shown(facts: ReportFacts) -> str:
    """The page of facts without pictures."""
    return render_html(Page(facts, summarise(facts), _NoFigures(), None, "somebody"))


class _NoFigures(dict[str, bytes]):
    """Every picture is an empty one."""

    def __missing__(self, _name: str) -> bytes:
        return b"<svg/>"


def test_counts_are_those_of_the_ledger(troubled_market: TroubledMarket, made: MadeReport) -> None:
    """Of the runs of the session, not of the one that October's session had."""
    facts, of_session = made.facts, f"""params LIKE '%"to": "{SESSION}"%'"""
    ids = f"SELECT run_id FROM sync_run WHERE {of_session}"

    assert facts.session == SESSION
    assert dict(facts.runs.states) == {"failed": 1, "partial": 1, "committed": 3}
    assert facts.runs.total == number(
        troubled_market, f"SELECT count(*) FROM sync_run WHERE {of_session}"
    )
    requests = number(
        troubled_market, f"SELECT sum(requests) FROM sync_batch WHERE run_id IN ({ids})"
    )
    assert dict(facts.runs.requests) == {troubled_market.simulator.url: requests}
    assert facts.runs.bars == number(
        troubled_market, f"SELECT sum(bars_written) FROM sync_wave WHERE run_id IN ({ids})"
    )
    kept_out = number(troubled_market, "SELECT count(*) FROM kline_quarantine")
    assert facts.doubts.open_bars == kept_out > 0
    (budget,) = facts.budgets.reports
    asked = number(troubled_market, "SELECT sum(requests) FROM sync_batch")
    assert budget.facts.granted >= asked >= requests


def test_freshness_is_that_of_the_lake_and_the_calendar(
    troubled_market: TroubledMarket, made: MadeReport
) -> None:
    rows = {(row.dataset, row.period): row for row in made.facts.freshness}
    bars = troubled_market.runtime.lake.read(
        Dataset.KLINE, Period.DAILY, window=Window(SESSION, SESSION)
    )
    daily, minutes = rows[Dataset.KLINE, Period.DAILY], rows[Dataset.KLINE, Period.M5]
    sessions = len(troubled_market.runtime.calendar.sessions_in(Window(FIRST, SESSION)))

    assert daily.held == bars.num_rows == made.facts.market.traded
    assert (daily.late, daily.late_since, daily.complete_to) == (3, FIRST, None)
    assert daily.owed == 3 * sessions
    assert daily.series == daily.held + daily.late + daily.idle + daily.gone
    assert (minutes.series, minutes.held, minutes.late, minutes.owed) == (2, 1, 1, 40)
    assert (minutes.complete_to, minutes.late_since) == (date(2025, 11, 4), date(2025, 11, 5))
    assert rows[Dataset.BOARD_KLINE, Period.DAILY].share == 1.0


def test_the_page_begins_with_what_is_late_why_and_what_is_gone(
    made: MadeReport, page: str
) -> None:
    first, _, rest = page.partition("Freshness and coverage")
    late, _, why = first.partition("What is late")[2].partition("Why")
    why, _, gone = why.partition("What can no longer be had")

    assert made.summary.verdict is Verdict.LATE
    assert made.summary.headline in first
    assert (
        f"Stocks, daily: 3 of 22 lack this session; 126 sessions owed by 3 series since {FIRST}"
        in late
    )
    assert "eastmoney answered /api/qt/stock/kline/get with HTTP 404" in why
    assert "42 of 42 bars break an invariant" in why
    assert f"1 run (stocks) failed: {REFUSED}" in why
    assert "28 sessions of 2 series, 2025-10-16 to 2025-11-04" in gone
    assert "5m bars of 2025-11-05, owed by 1 symbol, are gone after the next close" in gone
    assert "quantsync repair --gaps" in gone
    late, _, gone = rest.partition("Late: can still be fetched")[2].partition("Gone: can no longer")
    assert f"with HTTP 404 中芯国际 {MISSING}" in late
    assert "28 2 2025-10-16 to 2025-11-04 never asked for; the upstream does not serve" in gone


def test_failures_stand_with_their_reasons_apart_from_those_made_good(
    made: MadeReport, page: str
) -> None:
    standing = {name: f for f in made.facts.runs.failures for name in f.names}
    recovered = {name: f for f in made.facts.runs.recovered for name in f.names}
    _, _, runs = page.partition("5 runs of this session")
    failed, _, good = runs.partition("Failed, and made good by a later run")

    assert (set(standing), set(recovered)) == ({MISSING, INVALID}, {RECOVERED})
    assert (standing[MISSING].outcome, standing[INVALID].outcome) == ("error", "invalid")
    assert "HTTP 404" in standing[MISSING].reason
    assert f"中芯国际 {MISSING}" in failed
    assert RECOVERED not in failed
    assert f"宁德时代 {RECOVERED}" in good
    assert "1 fetch that failed came right in a later run" in good


def test_the_page_needs_no_other_file_and_no_script(made: MadeReport) -> None:
    source = made.html.read_text(encoding="utf-8")

    assert set(re.findall(r'(?:src|href)="([a-z]+):', source)) == {"data"}
    assert re.findall(r"url\(\"?([a-z]+):", source) == ["data"]
    assert "<script" not in source
    assert source.count("<img ") == source.count('alt="') == 4
    assert '<html lang="en">' in source


def test_the_pdf_has_pages_with_text_names_and_numbers(
    made: MadeReport, printed: pypdfium2.PdfDocument
) -> None:
    texts = [page.get_textpage().get_text_bounded() for page in printed]
    whole = " ".join("\n".join(texts).split())

    assert made.summary.headline in whole
    for name in ("中芯国际", "宁德时代", "贵州茅台", MISSING, "HTTP 404"):
        assert name in whole
    assert [f"page {at + 1} of {len(printed)}" in each for at, each in enumerate(texts)] == (
        [True] * len(printed)
    )
    assert {(round(p.get_width()), round(p.get_height())) for p in printed} == {(595, 842)}


def test_no_page_of_the_pdf_is_blank_or_cut(printed: pypdfium2.PdfDocument) -> None:
    """Ink on every page, and none on the margins."""
    for page in printed:
        shades = page.render(scale=0.7, grayscale=True).to_numpy()
        dark = shades < 200
        assert dark.mean() > 0.005
        assert not dark[:, :15].any()
        assert not dark[:, -15:].any()


def test_every_name_is_drawn_with_glyphs_that_the_font_has(made: MadeReport) -> None:
    facts = made.facts
    font = find_font(characters_of(facts))

    assert font is not None
    names = [mover.name for mover in facts.market.gainers]
    names += [board.name for board in facts.market.boards]
    assert len(names) > 10
    assert all(name and font.shows(name) for name in (*names, *facts.names.values()))
    assert made.remarks == ()
    assert not font.shows("𠀋")


def test_without_a_font_pictures_and_pdf_show_codes_and_the_report_says_so(
    made: MadeReport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is drawn as a box; the warning of a missing glyph would be an error.

    An earlier report is replaced as a whole, and nothing that a writer leaves behind is beside it.
    """
    monkeypatch.setattr("admin_tasks.report_fonts._installed", list)
    place = tmp_path / str(SESSION)
    place.mkdir()
    for name in ("report.html", "report.pdf"):
        (place / name).write_bytes(b"earlier")

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing from font.*")
        codes = write_report(short(made.facts), tmp_path, user_id="another")

    assert "fonts-wqy-zenhei" in codes.remarks[0]
    source = codes.html.read_text(encoding="utf-8")
    assert "fonts-wqy-zenhei" in source
    assert "for another" in source
    assert (codes.html.parent, codes.as_json()["report_url"]) == (place, codes.html.as_uri())
    assert sorted(path.name for path in place.iterdir()) == ["report.html", "report.pdf"]
    assert codes.pdf is not None
    document = pypdfium2.PdfDocument(str(codes.pdf))
    told = "".join(page.get_textpage().get_text_bounded() for page in document)
    document.close()
    assert MISSING in told
    assert "?" not in told
    assert made.facts.market.gainers[0].symbol in told
    assert all(is_plain(character) or character in "–—·×“”’•\r\n" for character in told), told


@pytest.mark.parametrize("font", ["no-such-file.ttf", "latin"])
def test_a_font_that_cannot_serve_is_refused_with_the_remedy(font: str) -> None:
    import matplotlib as mpl  # noqa: PLC0415  (slow to import)

    latin = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    path = latin if font == "latin" else Path(font)

    with pytest.raises(ConfigurationError, match=r"REPORT_FONT=.*fonts-wqy-zenhei"):
        find_font("茅台", path)


def test_a_hostile_name_stays_text(made: MadeReport) -> None:
    """In the page, in pictures, and for those who read formulas into dollar signs."""
    hostile = '$\\frac{$"><script>alert(1)</script>'
    failures = [replace(each, reason=f"`{hostile}`") for each in made.facts.runs.failures]
    boards = tuple(replace(board, name=hostile) for board in made.facts.market.boards[:2])
    movers = tuple(replace(mover, name=hostile) for mover in made.facts.market.gainers[:2])
    facts = replace(
        made.facts,
        market=replace(made.facts.market, boards=boards, gainers=movers, losers=(), chart=None),
        names={MISSING: hostile},
        runs=replace(made.facts.runs, failures=tuple(failures)),
    )

    figures = draw_figures(facts, None)
    source = render_html(Page(facts, summarise(facts), figures, None, hostile))

    assert "<script" not in source
    assert source.count("&lt;script&gt;alert(1)") >= 8
    assert b"<script" not in figures["industry"] + figures["movers"]


def test_a_pdf_that_cannot_be_made_costs_the_pdf_alone(
    made: MadeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Pango importing the renderer fails as here; an earlier PDF does not stay behind."""
    absent = "raise OSError(\"cannot load library 'libpango-1.0-0'\")"
    (tmp_path / "weasyprint.py").write_text(absent, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    earlier = tmp_path / f"reports/{SESSION}/report.pdf"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"earlier")

    without = write_report(short(made.facts), tmp_path / "reports", user_id="somebody")

    assert (without.pdf, without.as_json()["pdf"], earlier.exists()) == (None, None, False)
    assert "libpango-1.0-0 libpangoft2-1.0-0" in without.remarks[0]
    told = html.unescape(without.html.read_text(encoding="utf-8"))
    assert without.remarks[0] in told
    assert [path.name for path in earlier.parent.iterdir()] == ["report.html"]


def test_a_redis_that_is_away_costs_the_budgets_alone(
    troubled_market: TroubledMarket, made: MadeReport
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    settings = troubled_market.runtime.settings.model_copy(update={"budget_redis_url": url})
    runtime = Runtime(settings)

    facts = gather(runtime)

    assert facts.budgets.reports == ()
    assert "no Redis can be reached" in str(facts.budgets.unreachable)
    assert "The budgets cannot be told: no Redis can be reached" in shown(facts)
    assert replace(facts, budgets=Budgets(), made_at=made.facts.made_at) == (
        replace(made.facts, budgets=Budgets())
    )
    runtime.database.dispose()


def test_an_earlier_session_is_told_as_it_was_and_a_day_off_is_refused(
    troubled_market: TroubledMarket,
) -> None:
    earlier = gather(troubled_market.runtime, date(2025, 10, 15))

    assert [(row.period, row.held, row.late) for row in earlier.freshness] == [(Period.M5, 2, 0)]
    assert summarise(earlier).verdict is Verdict.COMPLETE
    assert (earlier.runs.total, earlier.market.traded, earlier.gone) == (1, 0, ())
    with pytest.raises(UsageError, match="the one before it is 2025-12-26"):
        gather(troubled_market.runtime, date(2025, 12, 28))
    with pytest.raises(UsageError, match="the latest settled session is 2025-12-30"):
        gather(troubled_market.runtime, date(2025, 12, 31))


def test_a_session_before_all_bars_is_told_from_an_empty_home(
    troubled_market: TroubledMarket,
) -> None:
    facts = gather(troubled_market.runtime, date(2016, 1, 5))
    summary = summarise(facts)
    assert summary.verdict is Verdict.EMPTY
    assert summary.headline == "No bars are held up to 2016-01-05; later ones are."
    assert summary.remedy == "quantsync backfill --from 2016-01-05"
    assert "only later ones were asked for" in shown(facts)


def test_a_folder_that_cannot_be_written_is_named_by_its_setting(
    made: MadeReport, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableError, match="set REPORTS_DIR to a place"):
        write_report(short(made.facts), tmp_path / "file", user_id="somebody")
    backups = BackupFolder(tmp_path / "file").alone()
    with pytest.raises(UnwritableError, match="set BACKUP_DIR to a place"), backups:
        pass


def test_a_market_of_which_nothing_was_synchronised_is_told_so(tmp_path: Path) -> None:
    """And a ban, which is why: the story of the budget is in the report."""
    with new_market(tmp_path / "m") as market:
        budget = open_budget(market.runtime.settings, "simulator")
        for _ in range(3):
            budget.acquire(Lane.BULK, float("inf")).answered(Answer.SIGN, "closed the connection")
        facts = gather(market.runtime)

    summary, source = summarise(facts), shown(facts)
    assert (summary.verdict, summary.headline) == (Verdict.EMPTY, "No bars are held.")
    assert (summary.late, summary.gone, summary.remedy) == ((), (), "quantsync sync all")
    assert any("held back (banned" in sentence for sentence in summary.why)
    for sentence in (
        "Nothing is expected yet, because nothing was asked for.",
        "No run asked for this session.",
        "No bar is in quarantine.",
        "No daily stock bar of this session is held.",
        "closed the connection",
        "Banned since",
    ):
        assert sentence in source
    assert draw_figures(facts, None) == {}
