"""The simulator's bodies have the shape of recorded ones: keys, their order, kinds of values."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ

RECORDED = Path(__file__).parents[1] / "data" / "raw_responses"
SPOT = "m:0 t:6,m:0 t:80,m:1 t:2,m:1 t:23,m:0 t:81 s:2048"
SPOT_FIELDS = (
    "f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f12,f13,f14,f15,f16,f17,f18,f20,f21,f23,f24,f25,f22,f11,f62,"
    "f128,f136,f115,f152"
)
KLINE_FIELDS = ",".join(f"f{number}" for number in [*range(51, 62), 116])


def recorded(name: str) -> Any:
    text = (RECORDED / name).read_text(encoding="utf-8").strip()
    if text.startswith("jQuery"):
        text = text[text.index("(") + 1 : text.rindex(")")]
    return json.loads(text)


def get(server: SimulatorServer, path: str, **params: str | int) -> Any:
    answer = requests.get(f"{server.url}/api/qt/{path}/get", params=params, timeout=10)
    assert answer.headers["Content-Type"].startswith("application/json")
    return answer.json()


def decimals(text: str) -> int:
    return len(text.partition(".")[2])


def kline(server: SimulatorServer, secid: str, **params: str | int) -> Any:
    asked: dict[str, str | int] = {
        "secid": secid,
        "klt": 101,
        "fqt": 0,
        "fields2": KLINE_FIELDS,
        **params,
    }
    return get(server, "stock/kline", **asked)


def test_a_kline_body_has_the_recorded_keys_in_order_and_kinds_of_values(
    simulator: SimulatorServer,
) -> None:
    want = recorded("em_kline_601872_qfq_20241218_1231.json")
    got = kline(simulator, "1.600519", beg="20241218", end="20241231")
    assert list(got) == list(want)
    assert list(got["data"]) == list(want["data"])
    for key, value in want["data"].items():
        assert type(got["data"][key]) is type(value), key
    ours, theirs = got["data"]["klines"], want["data"]["klines"]
    assert [line[:10] for line in ours] == [line[:10] for line in theirs]
    for mine, real in zip(ours, theirs, strict=True):
        shape = [decimals(cell) for cell in mine.split(",")]
        assert shape == [decimals(cell) for cell in real.split(",")]


def test_bodies_are_compact_json_in_utf8(simulator: SimulatorServer) -> None:
    url = f"{simulator.url}/api/qt/stock/kline/get?secid=1.600519&beg=20251231"
    body = requests.get(url, timeout=10).content
    assert b'{"rc":0,"rt":17,"svr":' in body
    assert "贵州茅台".encode() in body


def test_dktotal_counts_the_whole_history_whatever_the_window(simulator: SimulatorServer) -> None:
    whole = kline(simulator, "1.600519", beg="0", end="20500000")["data"]
    assert whole["dktotal"] == len(whole["klines"]) > 2_600
    none = kline(simulator, "1.600519", beg="20251001", end="20251007")["data"]
    assert (none["klines"], none["dktotal"]) == ([], whole["dktotal"])


def test_the_window_is_closed_and_the_close_before_it_is_given(simulator: SimulatorServer) -> None:
    data = kline(simulator, "1.600519", beg="20251229", end="20251230", lmt="1", smplmt="460")[
        "data"
    ]
    whole = kline(simulator, "1.600519")["data"]["klines"]
    assert data["klines"] == whole[-3:-1]
    assert data["preKPrice"] == float(whole[-4].split(",")[2])


def test_fields_come_in_the_order_asked_for(simulator: SimulatorServer) -> None:
    line = kline(simulator, "1.600519", beg="20251231", fields2="f55,f51,f116,f53")["data"][
        "klines"
    ]
    whole = kline(simulator, "1.600519", beg="20251231")["data"]["klines"][0].split(",")
    assert len(whole) == 11
    assert line == [f"{whole[4]},{whole[0]},{whole[2]}"]


@pytest.mark.parametrize(
    ("secid", "file"),
    [
        ("7.600519", "err_em_rc100_unknown_secid.json"),
        ("nonsense", "err_em_rc100_unknown_secid.json"),
        ("1.699999", "err_em_rc102_no_such_code.json"),
        ("0.600519", "err_em_rc102_no_such_code.json"),
        ("90.BK9999", "err_em_rc102_no_such_code.json"),
    ],
)
def test_an_unknown_code_is_answered_as_recorded(
    simulator: SimulatorServer, secid: str, file: str
) -> None:
    want = recorded(file)
    for path in ("stock/kline", "stock/trends2", "stock"):
        got = get(simulator, path, secid=secid)
        assert (got["rc"], got["data"]) == (want["rc"], None)


def test_a_list_row_has_the_recorded_keys_and_kinds_of_values(simulator: SimulatorServer) -> None:
    want = recorded("em_clist_sh_a_page1_20240808_first6_jsonp.txt")["data"]["diff"]
    got = get(simulator, "clist", fs="m:1 t:2,m:1 t:23", fields=SPOT_FIELDS, fid="f3", po=1)
    rows = [row for row in got["data"]["diff"] if row["f2"] != "-"]
    assert set(rows[0]) == set(want[0])
    numbers = [int(key[1:]) for key in rows[0]]
    leader = numbers.index(128)
    assert numbers[leader : leader + 4] == [128, 140, 141, 136]
    assert numbers[:leader] == sorted(numbers[:leader])
    for row in rows:
        for key, value in want[0].items():
            kinds = (int, float) if isinstance(value, float) else type(value)
            assert isinstance(row[key], kinds), key
    assert all(row["f12"].startswith("6") for row in rows)
    percents = [row["f3"] for row in rows]
    assert percents == sorted(percents, reverse=True)


def test_a_suspended_row_has_dashes_where_the_recorded_one_has(simulator: SimulatorServer) -> None:
    want = recorded("em_clist_spot_with_suspended_row_20260708.json")["data"]["diff"][2]
    fields = ",".join(key for key in want if key != "f124")
    pages = [
        get(simulator, "clist", fs=SPOT, fields=fields, pn=n)["data"]["diff"] for n in (1, 2, 3)
    ]
    row = next(row for page in pages for row in page if row["f12"] == "603101")
    for key in fields.split(","):
        assert type(row[key]) is type(want[key]), key
        assert (row[key] == "-") == (want[key] == "-"), key


def test_pages_are_capped_at_100_and_null_past_the_end(simulator: SimulatorServer) -> None:
    first = get(simulator, "clist", fs=SPOT, fields="f12", pz=500, po=0, fid="f12")["data"]
    assert len(first["diff"]) == 100
    seen = list(first["diff"])
    for page in (2, 3):
        seen += get(simulator, "clist", fs=SPOT, fields="f12", pz=500, po=0, fid="f12", pn=page)[
            "data"
        ]["diff"]
    codes = [row["f12"] for row in seen]
    assert codes == sorted(codes)
    assert len(codes) == len(set(codes)) == first["total"]
    past = get(simulator, "clist", fs=SPOT, fields="f12", pn=4)
    assert past["data"] is None


def test_trends_rows_have_the_recorded_shape(simulator: SimulatorServer) -> None:
    want = recorded("em_trends2_600519_20260910_excerpt.json")["data"]
    got = get(simulator, "stock/trends2", secid="1.600519", ndays=1)["data"]
    assert set(want) <= set(got)
    assert len(got["trends"]) == 241
    theirs = want["trends"][1].split(",")
    mine = got["trends"][1].split(",")
    assert mine[0][10:] == theirs[0][10:] == " 09:31"
    assert len(mine) == len(theirs)
    assert decimals(mine[7]) == decimals(theirs[7]) == 3


def test_a_quote_is_in_hundredths_as_recorded(simulator: SimulatorServer) -> None:
    want = recorded("em_stock_get_quote_600519_20260914.json")["data"]
    got = get(simulator, "stock", secid="1.600519", fields=",".join(want))["data"]
    assert list(got) == list(want)
    for key, value in want.items():
        assert type(got[key]) is type(value), key
    close = kline(simulator, "1.600519", beg="20251231")["data"]["klines"][0].split(",")[2]
    assert got["f43"] == round(float(close) * 100)


def test_before_the_auction_there_is_no_bar_of_today(simulator: SimulatorServer) -> None:
    def latest(hour: int, minute: int) -> str:
        simulator.clock.set(datetime(2025, 12, 31, hour, minute, tzinfo=EXCHANGE_TZ))
        return str(kline(simulator, "1.600519")["data"]["klines"][-1][:10])

    assert latest(9, 24) == "2025-12-30"
    assert latest(9, 25) == "2025-12-31"
    assert latest(16, 0) == "2025-12-31"


def test_a_callback_wraps_the_body(simulator: SimulatorServer) -> None:
    url = f"{simulator.url}/api/qt/stock/kline/get?secid=1.600519&beg=20251231&cb=jQuery1"
    text = requests.get(url, timeout=10).text
    assert text.startswith('jQuery1({"rc":0')
    assert text.endswith(");")
