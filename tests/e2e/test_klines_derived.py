"""``quantsync klines`` of every period and as of any instant, as a user runs it."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from market.clock import EXCHANGE_TZ
from tests.fixtures.cli import Installation

if TYPE_CHECKING:
    import pandas as pd

    from ingest.simulator.server import SimulatorServer

NOON, EVENING = (datetime(2025, 12, 31, *at, tzinfo=EXCHANGE_TZ) for at in ((12, 23), (16, 0)))
COLUMNS = {"open": "开盘", "high": "最高", "low": "最低", "close": "收盘", "amount": "成交额"}


def printed(installation: Installation, *words: str) -> list[dict[str, str]]:
    """The bars that ``klines`` prints."""
    said = installation.run("klines", *words, "--format", "csv")
    assert said.code == 0, said.stderr
    return list(csv.DictReader(io.StringIO(said.stdout)))


def sync(installation: Installation, server: "SimulatorServer", *words: str) -> None:
    said = installation.run("sync", "stocks", *words, "--upstream", server.url)
    assert said.code == 0, said.stderr


def assert_same(bars: list[dict[str, str]], frame: "pd.DataFrame", when: str) -> None:
    """Bars printed are those that AKShare fetches, in every row."""
    assert len(bars) == len(frame) > 0
    for bar, (_, row) in zip(bars, frame.iterrows(), strict=True):
        stamp = str(row[when])
        assert bar["end_at"] == (stamp if ":" in stamp else f"{stamp} 15:00:00")
        assert int(bar["volume"]) == 100 * int(row["成交量"])
        for ours, theirs in COLUMNS.items():
            assert float(bar[ours]) == float(row[theirs]), (bar, row)


@pytest.mark.lengthy
def test_derived_bars_are_those_that_akshare_fetches(
    installation: Installation,
    simulator: "SimulatorServer",
    send_akshare_to: Callable[[str], None],
) -> None:
    """Weekly and monthly of a year, the first week whole; 15m, 30m, 60m of the latest sessions."""
    import akshare  # noqa: PLC0415  (slow to import)

    sync(installation, simulator, "--symbols", "000001", "--from", "2024-12-30")
    sync(installation, simulator, "--symbols", "000001", "--period", "5m")
    send_akshare_to(simulator.url)

    for period in ("weekly", "monthly"):
        frame = akshare.stock_zh_a_hist("000001", period=period, start_date="20250102")
        bars = printed(installation, "000001", "--period", period, "--from", "2025-01-02")
        assert_same(bars, frame, "日期")
    for minutes in ("15", "30", "60"):
        frame = akshare.stock_zh_a_hist_min_em("000001", period=minutes)
        bars = printed(installation, "000001", "--period", f"{minutes}m")
        first = bars[0]["end_at"][:10]
        assert_same(bars, frame[frame["时间"] >= first], "时间")


@pytest.mark.lengthy
def test_bars_as_of_an_instant_are_those_that_were_known_then(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Before the first fetch none; at noon the noon's; now the closing one's, in the week too."""
    words = ("--symbols", "600519", "--from", "2025-12-29")
    before = datetime.now(UTC)
    simulator.clock.set(NOON)
    sync(installation, simulator, *words)
    half_formed = printed(installation, "600519")
    half_a_week = printed(installation, "600519", "--period", "weekly")
    between = datetime.now(UTC)
    simulator.clock.set(EVENING)
    sync(installation, simulator, *words)
    whole = printed(installation, "600519")

    assert printed(installation, "600519", "--as-of", between.isoformat()) == half_formed
    then = ("600519", "--period", "weekly", "--as-of", between.isoformat())
    assert printed(installation, *then) == half_a_week
    assert printed(installation, "600519", "--period", "weekly") != half_a_week
    assert half_formed[:2] == whole[:2]
    assert half_formed[2] != whole[2]
    nothing = installation.run("klines", "600519", "--as-of", before.isoformat())
    assert nothing.code == 1
    assert "no daily bars of 600519.SH were held at 2" in nothing.stderr

    [gave_way] = printed(installation, "600519", "--revisions")
    assert {name: gave_way[name] for name in half_formed[2]} == half_formed[2]
    assert gave_way["state"] == "provisional"
    moments = [datetime.fromisoformat(gave_way[name]) for name in ("fetched_at", "replaced_at")]
    zoned = [moment.replace(tzinfo=EXCHANGE_TZ) for moment in moments]
    assert before.replace(microsecond=0) <= zoned[0] <= between <= zoned[1] <= datetime.now(UTC)


@pytest.mark.lengthy
def test_what_is_provisional_is_said_of_weeks_too(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """One that is under way, one that is not held whole; and the closing bar until it settles."""
    installation.environment["SETTLED_AT"] = "15:20"
    simulator.clock.set(datetime(2025, 12, 31, 15, 10, tzinfo=EXCHANGE_TZ))
    words = ("--symbols", "600519", "--from", "2025-12-17")
    weekly = ("klines", "600519", "--period", "weekly")
    sync(installation, simulator, *words)
    early = installation.run(*weekly).stderr
    simulator.clock.set(EVENING)
    sync(installation, simulator, *words)
    late = installation.run(*weekly).stderr

    can_change = "of 3 bars {} provisional and can still change"
    assert f"2 {can_change.format('are')}: 2025-12-19 15:00, 2025-12-31 15:00" in early
    assert f"1 {can_change.format('is')}: 2025-12-19 15:00" in late  # from a Wednesday on


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--as-of", "yesterday"), "--as-of 'yesterday' is not an instant"),
        (("--as-of", "2025-12-31"), "say the time too, 2025-12-31T15:05"),
        (("--as-of", "2999-01-01T00:00"), "is in the future"),
        (("--as-of", "2025-12-31T12:00", "--revisions"), "do not go together"),
        (("--period", "weekly", "--revisions"), "ask for those of daily bars"),
        (("--adjust", "qfq", "--revisions"), "shows bars as they were stored, unadjusted"),
        (("--period", "2h"), "is not a period"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(
    words: tuple[str, ...], complaint: str, installation: Installation
) -> None:
    """Exit code 2, before anything is read."""
    said = installation.run("klines", "600519", *words)

    assert (said.code, said.stdout) == (2, "")
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr


def test_nothing_held_names_the_period_to_synchronise(installation: Installation) -> None:
    """A derived period cannot be synchronised itself: that is still refused, and says so."""
    nothing = installation.run("klines", "600519", "--period", "30m", "--from", "2025-01-02")
    refused = installation.run("sync", "stocks", "--period", "30m", "--symbols", "600519")
    none = installation.run("klines", "600519", "--revisions", "--json")

    assert nothing.code == 1
    assert "aggregated from 5m bars: `quantsync sync --period 5m`" in nothing.stderr
    assert refused.code == 2
    assert "30m bars are not fetched" in refused.stderr
    assert (none.code, none.json) == (0, [])
    assert "no daily bar of 600519.SH gave way to another one" in none.stderr
