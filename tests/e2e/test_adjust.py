"""Adjusted klines as a user asks for them: the command, and what it says of what it cannot know."""

import csv
import io
import time
from datetime import UTC, date, datetime

from market.adjustments import ExRight
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.database import Database
from storage.ex_right import ExRights
from storage.lake import Lake
from tests.fixtures.bars import bars_of, daily_bar
from tests.fixtures.cli import Installation, Said

SESSIONS = exchange_calendar().sessions_in(Window(date(2024, 6, 3), date(2024, 6, 7)))
LONGI = "601012.SH"


def fill(installation: Installation) -> None:
    """Five sessions; on the fourth a split and cash: (20 - 1) / 2 = 9.50."""
    lake = Lake(installation.home / "lake")
    prices = (20.0, 20.0, 20.0, 9.5, 9.6)
    rows = [daily_bar(LONGI, d, close=c) for d, c in zip(SESSIONS, prices, strict=True)]
    lake.write(Dataset.KLINE, Period.DAILY, bars_of(rows))
    database = Database(installation.sql())
    database.migrate()
    split = ExRight(LONGI, SESSIONS[3], 20.0, cash=1.0, bonus=1.0)
    ExRights(database, lake.root).record([split], source="test", run_id="run")
    database.dispose()


def closes(said: Said) -> list[str]:
    assert said.code == 0, said.stderr
    return [row["close"] for row in csv.DictReader(io.StringIO(said.stdout))]


def test_klines_are_printed_as_asked_for(installation: Installation) -> None:
    """Raw unless asked; ratio unless asked; the columns stay the same."""
    fill(installation)
    words = ("klines", LONGI, "--format", "csv")

    raw = installation.run(*words)
    assert closes(raw) == ["20.0", "20.0", "20.0", "9.5", "9.6"]
    assert raw.stderr == ""
    qfq = installation.run(*words, "--adjust", "qfq", "--to", "2024-06-05")
    assert closes(qfq) == ["9.5", "9.5", "9.5"]
    assert qfq.stdout.splitlines()[0] == raw.stdout.splitlines()[0]
    hfq = installation.run(*words, "--adjust", "hfq")
    assert [float(c) for c in closes(hfq)] == [20, 20, 20, 20, 9.6 * 20 / 9.5]
    affine = installation.run(*words, "--adjust", "hfq", "--method", "eastmoney")
    assert closes(affine) == ["20.0", "20.0", "20.0", "20.0", "20.2"]


def test_a_file_that_cannot_be_written_is_told_in_one_sentence(installation: Installation) -> None:
    fill(installation)
    for form in ("csv", "parquet"):
        out = installation.home / "nowhere" / "bars"
        said = installation.run("klines", LONGI, "--format", form, "--out", str(out))
        assert (said.code, said.stdout, said.stderr.count("\n")) == (2, "", 1), said.stderr
        assert f"error: --out {out} cannot be written: " in said.stderr


def test_events_that_were_never_asked_for_are_said_to_be_unknown(
    installation: Installation,
) -> None:
    """On stderr, with the command that fetches them; stdout keeps its format."""
    fill(installation)
    said = installation.run("klines", LONGI, "--adjust", "qfq", "--format", "csv")
    assert (
        "the ex-rights of 601012.SH are not known to be complete (1 recorded): the upstream was "
        "not asked yet, or could not say; prices before one that is missing are not adjusted; "
        "`quantsync sync stocks --symbols 601012.SH` fetches them\n"
    ) in said.stderr


def test_a_wrong_adjustment_or_method_or_a_board_is_refused_in_one_sentence(
    installation: Installation,
) -> None:
    for words, sentence in (
        (("601012", "--adjust", "forward"), "--adjust 'forward': use none, qfq or hfq"),
        (
            ("601012", "--adjust", "qfq", "--method", "x"),
            "--method 'x': use ratio or eastmoney",
        ),
        (("BK0477", "--adjust", "qfq"), "BK0477 is a board, its points are not adjusted"),
    ):
        said = installation.run("klines", *words)
        assert (said.code, said.stdout) == (2, "")
        assert sentence in said.stderr


def test_ex_rights_that_became_known_later_are_told_of_prices_as_of_an_instant(
    installation: Installation,
) -> None:
    """The bars were held, the split had happened, nobody knew of it: prices are raw, and say so."""
    fill(installation)
    words = ("klines", LONGI, "--adjust", "qfq", "--format", "csv", "--as-of")
    database = Database(installation.sql())
    with database.reading() as connection:
        at = connection.exec_driver_sql("SELECT recorded_at FROM ex_right").scalar_one()
    database.dispose()
    later, before = datetime.fromtimestamp(at + 1, UTC), datetime.fromtimestamp(at - 60, UTC)
    told = "1 ex-right of 601012.SH from 2024-06-06 to 2024-06-06 had happened by"

    then = installation.run(*words, before.isoformat())
    assert closes(then) == ["20.0", "20.0", "20.0", "9.5", "9.6"]
    assert told in then.stderr.replace("\n", " ")
    time.sleep(max(0.0, at + 1 - time.time()))
    assert told not in installation.run(*words, later.isoformat()).stderr.replace("\n", " ")
