"""The replayed market serves the very numbers of the recorded files."""

import csv
import shutil
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import akshare as ak
import pandas as pd
import pytest
import requests

from ingest.simulator.market import SecId
from ingest.simulator.replay.files import ReplayFileError
from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.server import SimulatorServer
from market.boards import BoardKind
from market.clock import EXCHANGE_TZ

RECORDED = Path(__file__).parents[3] / "data" / "replay"
YEAR_END = datetime(2025, 12, 31, 16, tzinfo=EXCHANGE_TZ)


@pytest.fixture
def server(send_akshare_to: Callable[[str], None]) -> Iterator[SimulatorServer]:
    with SimulatorServer(ReplayMarket(RECORDED)) as running:
        send_akshare_to(running.url)
        yield running


def recorded(name: str) -> pd.DataFrame:
    return pd.read_csv(RECORDED / name, dtype={"股票代码": str, "代码": str})


def assert_same(got: pd.DataFrame, want: pd.DataFrame) -> None:
    got = got[list(want.columns)]
    assert len(got) == len(want) > 0
    for column in want.columns:
        if want[column].dtype.kind in "if":
            mine, theirs = (pd.to_numeric(f[column]).astype(float) for f in (got, want))
            pd.testing.assert_series_equal(mine, theirs, check_exact=True, check_names=False)
        else:
            assert got[column].astype(str).tolist() == want[column].tolist(), column


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("file", "adjust"),
    [
        ("daily/none/600519.csv", ""),
        ("daily/none/000001.csv", ""),
        ("daily/qfq/000001.csv", "qfq"),
        ("daily/none/600058.csv", ""),
    ],
)
def test_every_daily_row_arrives_as_recorded(file: str, adjust: str) -> None:
    assert_same(ak.stock_zh_a_hist(symbol=Path(file).stem, adjust=adjust), recorded(file))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("period", ["1", "5"])
def test_every_minute_row_arrives_as_recorded(period: str) -> None:
    got = ak.stock_zh_a_hist_min_em(symbol="600519", period=period)
    assert_same(got, recorded(f"{period}m/none/600519.csv"))


def test_the_spot_list_arrives_as_recorded(server: SimulatorServer) -> None:
    server.clock.set(YEAR_END)
    got = ak.stock_zh_a_spot_em().sort_values("代码", ignore_index=True)
    want = recorded("spot/2025-12-31.csv").sort_values("代码", ignore_index=True)
    assert_same(got, want.drop(columns="序号"))
    assert got["最新价"].isna().sum() == 4


@pytest.mark.usefixtures("server")
def test_boards_and_members_arrive_as_recorded() -> None:
    for kind, read in (
        ("concept", ak.stock_board_concept_name_em),
        ("industry", ak.stock_board_industry_name_em),
    ):
        got = read().sort_values("板块代码", ignore_index=True)
        want = recorded(f"boards/{kind}.csv").sort_values("板块代码", ignore_index=True)
        assert_same(got, want.drop(columns="排名"))
    members = ak.stock_board_industry_cons_em(symbol="BK0477").sort_values(
        "代码", ignore_index=True
    )
    want = recorded("boards/members/BK0477.csv").sort_values("代码", ignore_index=True)
    assert_same(members, want)
    assert members.set_index("代码").loc["600519", "最新价"] == 1377.18


@pytest.mark.usefixtures("server")
def test_what_was_not_recorded_is_unknown() -> None:
    assert ak.stock_zh_a_hist(symbol="600000").empty
    assert ak.stock_zh_a_hist(symbol="600519", adjust="hfq").empty
    assert ak.stock_zh_a_hist(symbol="600519", period="weekly").empty


def test_the_clock_hides_what_has_not_happened() -> None:
    market = ReplayMarket(RECORDED)
    assert market.default_now == datetime(2026, 3, 27, 16, tzinfo=EXCHANGE_TZ)
    secid = SecId(1, "600519")

    def labels(klt: int, hour: int, minute: int) -> list[str]:
        now = datetime(2026, 3, 27, hour, minute, tzinfo=EXCHANGE_TZ)
        series = market.kline(secid, klt, 0, now)
        assert series is not None
        return list(series.labels)

    assert labels(101, 9, 0)[-1] == "2026-03-26"
    assert labels(101, 10, 32)[-1] == "2026-03-27"
    assert labels(5, 10, 32)[-1] == "2026-03-27 10:30"
    trends = market.trends(secid, 1, datetime(2026, 3, 26, 10, 32, tzinfo=EXCHANGE_TZ))
    assert trends is not None
    assert len(trends.lines) == 63
    assert trends.previous_close == market.daily("600519")["close"][-3].as_py()


def test_todays_bar_is_unfinished_before_the_close() -> None:
    market = ReplayMarket(RECORDED)
    whole = market.daily("600519").to_pylist()[-1]
    half = market.daily("600519", datetime(2026, 3, 27, 10, 32, tzinfo=EXCHANGE_TZ)).to_pylist()[-1]
    assert half["session"] == whole["session"]
    assert 0 < half["lots"] < whole["lots"]


def test_the_spot_list_is_made_of_bars_where_none_is_recorded(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "daily", tmp_path / "daily")
    market = ReplayMarket(tmp_path)
    table = market.quotes(YEAR_END)
    rows = {row["f12"]: row for row in table.rows(range(len(table)), [2, 5, 12, 13, 18])}
    want = market.daily("000001", YEAR_END).to_pylist()
    assert rows["000001"]["f2"] == want[-1]["close"]
    assert rows["000001"]["f18"] == want[-2]["close"]
    assert rows["600058"]["f2"] == rows["600058"]["f5"] == "-"
    assert rows["600058"]["f18"] == market.daily("600058")["close"][-1].as_py()
    assert market.listing(date(2025, 12, 31)) == ("000001", "600058")


def test_one_file_of_many_symbols_serves_each_of_them(tmp_path: Path) -> None:
    """Also when a spreadsheet has taken the leading zeros of the codes."""
    lines: list[str] = []
    for code in ("000001", "600058"):
        text = (RECORDED / "daily" / "none" / f"{code}.csv").read_text(encoding="utf-8")
        head, *rows = text.splitlines()
        lines += rows if lines else [head, *rows]
    combined = tmp_path / "daily" / "none.csv"
    combined.parent.mkdir()
    combined.write_text("\n".join(lines).replace(",000001,", ",1,"), encoding="utf-8-sig")
    market, separate = ReplayMarket(tmp_path), ReplayMarket(RECORDED)
    for code in ("000001", "600058"):
        assert market.daily(code).equals(separate.daily(code))


def test_boards_that_were_not_recorded_are_no_boards(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "daily", tmp_path / "daily")
    market = ReplayMarket(tmp_path)
    assert len(market.boards(BoardKind.CONCEPT, YEAR_END)) == 0
    with SimulatorServer(market) as server:
        url = f"{server.url}/api/qt/clist/get?fs=m:90 t:3 f:!50&fields=f12"
        assert requests.get(url, timeout=10).json()["data"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[0].remove("收盘"), "line 1: column 收盘 is missing"),
        (lambda rows: rows[3].pop(), "line 4: 11 cells where the header has 12"),
        (lambda rows: rows[2].__setitem__(2, "n/a"), "line 3: 开盘 'n/a' is not a number"),
        (lambda rows: rows[2].__setitem__(2, ""), "line 3: 开盘 is empty"),
        (lambda rows: rows[2].__setitem__(0, "soon"), "line 3: 日期 'soon' is not a date"),
        (
            lambda rows: rows[5].__setitem__(0, "2025-12-01"),
            "line 6: 2025-12-01 does not come after",
        ),
        (lambda rows: rows[5].__setitem__(6, "1.5"), "line 6: 成交量 1.5 is not a whole number"),
    ],
)
def test_a_bad_file_is_named_with_its_line(
    tmp_path: Path, change: Callable[[list[list[str]]], object], said: str
) -> None:
    path = tmp_path / "daily" / "none" / "000001.csv"
    path.parent.mkdir(parents=True)
    with (RECORDED / "daily" / "none" / "000001.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    change(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(ReplayFileError, match=said) as raised:
        ReplayMarket(tmp_path)
    assert str(path) in str(raised.value)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "daily" / "none" / "000001.csv"
    path.parent.mkdir(parents=True)
    text = (RECORDED / "daily" / "none" / "000001.csv").read_text(encoding="utf-8")
    path.write_bytes(text.encode("gbk"))
    with pytest.raises(ReplayFileError, match="is not UTF-8"):
        ReplayMarket(tmp_path)
