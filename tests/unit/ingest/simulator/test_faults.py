"""Every fault is seen by a client as it was asked for, where it was asked for, as often."""

import http.client
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from ingest.simulator.faults import FAULTS, BanBook, FaultBook, InvalidFaultError, parse_fault
from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ

KLINE = "/api/qt/stock/kline/get?secid=1.600519&klt=101&fqt=0&beg=20251201"
MINUTES = "/api/qt/stock/trends2/get?secid=1.600519&ndays=5"
SPOT = "m:0 t:6,m:0 t:80,m:1 t:2,m:1 t:23,m:0 t:81 s:2048"
LIST = f"/api/qt/clist/get?fs={SPOT}&fields=f3,f5,f12&fid=f12&pz=100"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


def body(session: requests.Session, server: SimulatorServer, path: str) -> Any:
    return session.get(server.url + path, timeout=10).json()


def all_pages(session: requests.Session, server: SimulatorServer, path: str) -> list[Any]:
    first = body(session, server, f"{path}&pn=1")["data"]
    pages = [body(session, server, f"{path}&pn={n}")["data"] for n in (2, 3)]
    return [row for page in (first, *pages) if page for row in page["diff"]]


def test_a_dropped_request_is_closed_without_a_response(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "drop", "count": 2})
    for _ in range(2):
        with pytest.raises(requests.ConnectionError, match="without response"):
            session.get(simulator.url + KLINE, timeout=10)
    assert body(session, simulator, KLINE)["rc"] == 0
    log = simulator.log.since()
    assert [(e.status, e.outcome) for e in log] == [(0, "drop"), (0, "drop"), (200, "ok")]


@pytest.mark.parametrize("status", [403, 429, 502])
def test_an_http_error_arrives_with_its_status(
    simulator: SimulatorServer, session: requests.Session, status: int
) -> None:
    simulator.faults.add({"name": "http_status", "status": status})
    assert session.get(simulator.url + KLINE, timeout=10).status_code == status


def test_a_captcha_is_a_web_page_with_status_200(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "captcha"})
    answer = session.get(simulator.url + KLINE, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_latency_delays_the_answer(simulator: SimulatorServer, session: requests.Session) -> None:
    simulator.faults.add({"name": "latency", "seconds": 0.15, "jitter": 0.05})
    began = time.monotonic()
    assert body(session, simulator, KLINE)["rc"] == 0
    assert time.monotonic() - began >= 0.15


def test_null_data_has_no_data_and_no_error_code(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "data_null"})
    for path in (KLINE, MINUTES, LIST):
        got = body(session, simulator, path)
        assert (got["rc"], got["data"]) == (0, None)


def test_an_empty_success_claims_that_there_is_nothing(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "empty_success"})
    want = {"code": "600519", "name": "贵州茅台", "dktotal": 0, "klines": []}
    assert body(session, simulator, KLINE)["data"] == want
    assert body(session, simulator, MINUTES)["data"]["trends"] == []
    assert body(session, simulator, LIST)["data"] == {"total": 0, "diff": []}


def test_half_bars_serve_a_finished_session_as_if_it_ran(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    whole = body(session, simulator, KLINE)["data"]["klines"]
    simulator.faults.add({"name": "half_bars"})
    half = body(session, simulator, KLINE)["data"]["klines"]
    assert half[:-1] == whole[:-1]
    assert half[-1][:10] == whole[-1][:10]
    assert int(half[-1].split(",")[5]) < int(whole[-1].split(",")[5])


def test_wrong_units_are_shares_where_lots_are_meant(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    paths = {KLINE: "klines", MINUTES: "trends"}
    right = {path: body(session, simulator, path)["data"][key] for path, key in paths.items()}
    rows = body(session, simulator, LIST)["data"]["diff"]
    simulator.faults.add({"name": "wrong_units"})
    for path, key in paths.items():
        wrong = body(session, simulator, path)["data"][key]
        lots = [int(line.split(",")[5]) for line in right[path]]
        assert [int(line.split(",")[5]) for line in wrong] == [100 * n for n in lots]
    for mine, theirs in zip(body(session, simulator, LIST)["data"]["diff"], rows, strict=True):
        assert mine["f5"] == (theirs["f5"] if theirs["f5"] == "-" else theirs["f5"] * 100)


def test_a_short_page_lacks_rows_but_tells_the_right_total(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    total = body(session, simulator, LIST)["data"]["total"]
    simulator.faults.add({"name": "short_page", "keep": 0.7, "pn": "2"})
    assert len(body(session, simulator, f"{LIST}&pn=1")["data"]["diff"]) == 100
    second = body(session, simulator, f"{LIST}&pn=2")["data"]
    assert (len(second["diff"]), second["total"]) == (70, total)


def test_a_short_list_agrees_with_itself(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "short_list", "rows": 200})
    assert body(session, simulator, LIST)["data"]["total"] == 200
    assert len(all_pages(session, simulator, LIST)) == 200
    assert body(session, simulator, f"{LIST}&pn=3")["data"] is None


def test_an_empty_page_has_no_rows_but_the_right_total(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    total = body(session, simulator, LIST)["data"]["total"]
    simulator.faults.add({"name": "empty_page"})
    assert body(session, simulator, LIST)["data"] == {"total": total, "diff": []}


def test_a_moving_order_repeats_some_rows_and_misses_others(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    by_change = LIST.replace("fid=f12", "fid=f3")
    steady = [row["f12"] for row in all_pages(session, simulator, by_change)]
    assert len(set(steady)) == len(steady)
    simulator.faults.add({"name": "moving_order"})
    moving = [row["f12"] for row in all_pages(session, simulator, by_change)]
    assert len(moving) == len(steady)
    assert len(set(moving)) < len(moving)
    by_code = [row["f12"] for row in all_pages(session, simulator, LIST)]
    assert len(set(by_code)) == len(by_code)


def test_a_truncated_body_is_a_whole_response_with_half_a_json(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    whole = session.get(simulator.url + KLINE, timeout=10).content
    simulator.faults.add({"name": "truncated_body", "keep": 0.5})
    cut = session.get(simulator.url + KLINE, timeout=10).content
    assert cut == whole[: len(whole) // 2]
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)


def test_a_cut_connection_breaks_the_promise_of_its_length(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "cut_connection"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        session.get(simulator.url + KLINE, timeout=10)


def test_a_slow_loris_trickles(simulator: SimulatorServer) -> None:
    simulator.faults.add({"name": "slow_loris", "chunk": 5, "interval": 0.03})
    host = simulator.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("GET", KLINE)
    response = connection.getresponse()
    began = time.monotonic()
    response.read(30)
    assert time.monotonic() - began > 0.1
    connection.close()


@pytest.mark.parametrize(
    ("limits", "gaps", "allowed"),
    [
        ({"per_second": 5}, 0.15, 4),
        ({"per_second": 5}, 0.26, None),
        ({"per_minute": 200}, 0.29, 199),
        ({"per_minute": 200}, 0.31, None),
        ({"per_5_minutes": 300}, 0.9, 299),
        ({"per_5_minutes": 300}, 1.01, None),
    ],
)
def test_a_client_is_banned_when_it_reaches_a_threshold(
    limits: dict[str, float], gaps: float, allowed: int | None
) -> None:
    off = {"per_second": 0, "per_minute": 0, "per_5_minutes": 0, "seconds": 60.0}
    bans = BanBook({**off, **limits})
    hits = [bans.hit("10.0.0.1", 1_000 + n * gaps) for n in range(600)]
    assert (hits.index(True) if True in hits else None) == allowed


def test_a_ban_ends_after_its_time_and_meets_its_client_only() -> None:
    bans = BanBook({**FAULTS["ban"], "seconds": 10.0})
    assert [bans.hit("a", 100 + n / 100) for n in range(5)] == [False] * 4 + [True]
    assert bans.hit("a", 109.0)
    assert not bans.hit("b", 109.0)
    assert bans.banned(109.0) == {"a": 1.04}
    assert not bans.hit("a", 110.1)


def test_a_ban_closes_connections_and_can_be_lifted(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    assert all(body(session, simulator, KLINE)["rc"] == 0 for _ in range(20))
    control = f"{simulator.url}/__simulator__/faults"
    session.post(control, json={"name": "ban", "seconds": 30}, timeout=10).raise_for_status()
    for _ in range(4):
        assert body(session, simulator, KLINE)["rc"] == 0
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            session.get(simulator.url + KLINE, timeout=10)
    faults = session.get(control, timeout=10).json()["faults"]
    assert 29 < faults[0]["banned"]["127.0.0.1"] <= 30
    session.delete(control, timeout=10)
    assert body(session, simulator, KLINE)["rc"] == 0


@pytest.mark.parametrize(
    ("match", "kline", "minutes", "spot"),
    [
        ({"path": "kline"}, True, False, False),
        ({"path": "/api/qt/stock"}, True, True, False),
        ({"secid": "1.600519"}, True, True, False),
        ({"secid": "1.60051"}, False, False, False),
        ({"klt": "101", "fqt": "0"}, True, False, False),
        ({"fs": "m:1 t:23"}, False, False, True),
        ({"board": "BK0818"}, False, False, False),
        ({"client": "127.0.0.1"}, True, True, True),
        ({"client": "127.0.0.2"}, False, False, False),
    ],
)
def test_a_fault_meets_only_what_it_matches(
    simulator: SimulatorServer, session: requests.Session,
    match: dict[str, str], kline: bool, minutes: bool, spot: bool,  # noqa: FBT001
) -> None:  # fmt: skip
    simulator.faults.add({"name": "http_status", "status": 500, **match})
    statuses = [
        session.get(simulator.url + p, timeout=10).status_code for p in (KLINE, MINUTES, LIST)
    ]
    assert [status == 500 for status in statuses] == [kline, minutes, spot]


def test_a_fault_of_a_board_meets_its_bars_and_its_members(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "data_null", "board": "BK0818"})
    paths = [
        "/api/qt/stock/kline/get?secid=90.BK0818",
        "/api/qt/clist/get?fs=b:BK0818 f:!50&fields=f12",
        "/api/qt/stock/kline/get?secid=90.BK0477",
    ]
    data = [body(session, simulator, path)["data"] for path in paths]
    assert [value is None for value in data] == [True, True, False]


def test_skip_count_and_probability_say_how_often() -> None:
    book = FaultBook(seed=1)
    book.add({"name": "drop", "skip": 2, "count": 3})
    met = [bool(book.meeting({}, 0.0)) for _ in range(8)]
    assert met == [False, False, True, True, True, False, False, False]
    book.clear()
    book.add({"name": "drop", "probability": 0.3})
    often = sum(bool(book.meeting({}, 0.0)) for _ in range(2_000))
    assert 500 < often < 700


def test_random_choices_follow_from_the_seed() -> None:
    def choices(seed: int) -> list[bool]:
        book = FaultBook(seed)
        book.add({"name": "drop", "probability": 0.5})
        return [bool(book.meeting({}, 0.0)) for _ in range(64)]

    assert choices(3) == choices(3) != choices(4)


def test_several_faults_meet_one_request(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.faults.add({"name": "latency", "seconds": 0.05})
    simulator.faults.add({"name": "data_null"})
    assert body(session, simulator, KLINE)["data"] is None
    assert simulator.log.since()[-1].outcome == "latency+data_null"


def test_half_bars_do_not_reach_back_into_a_running_session(
    simulator: SimulatorServer, session: requests.Session
) -> None:
    simulator.clock.set(datetime(2025, 12, 31, 10, 1, tzinfo=EXCHANGE_TZ))
    running = body(session, simulator, KLINE)
    simulator.faults.add({"name": "half_bars"})
    assert body(session, simulator, KLINE) == running


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drop", {"name": "drop"}),
        ("latency:seconds=0.3,path=kline", {"name": "latency", "seconds": "0.3", "path": "kline"}),
        (
            "drop:fs=m:1 t:2,m:1 t:23,count=1",
            {"name": "drop", "fs": "m:1 t:2,m:1 t:23", "count": "1"},
        ),
    ],
)
def test_a_fault_is_read_from_one_word(text: str, words: dict[str, str]) -> None:
    assert parse_fault(text) == words
    assert FaultBook().add(words).name == words["name"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"name": "gremlin"}, "is not a fault: use one of drop"),
        ({"name": "drop", "seconds": 3}, "does not take seconds"),
        ({"name": "latency", "seconds": "long"}, "must be a number, not 'long'"),
        ({"name": "latency", "seconds": -1}, "must not be negative"),
        ({"name": "latency", "seconds": "nan"}, "must not be negative"),
        ({}, "is not a fault"),
    ],
)
def test_a_wrong_fault_is_refused_with_a_sentence(words: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidFaultError, match=said):
        FaultBook().add(words)


def test_a_fault_without_key_and_value_is_refused() -> None:
    with pytest.raises(InvalidFaultError, match="key=value"):
        parse_fault("drop:often")
