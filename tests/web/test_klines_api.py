"""``GET /klines``: the bars that ``quantsync klines`` prints, in every form, page by page."""

import csv
import io
from datetime import date, datetime

import httpx
import pyarrow as pa
import pytest
from pyarrow import parquet

from market.adjustments import Adjustment
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window
from storage.ex_right import ExRights
from storage.lake import Lake
from storage.queries import KLINE_COLUMNS, klines
from tests.fixtures.cli import wait_for
from tests.fixtures.web_app import (
    ABSENT,
    EX_SESSION,
    LAST,
    MOUTAI,
    PINGAN,
    SESSIONS,
    WebApp,
    daily_bars,
)

COLUMNS = (*KLINE_COLUMNS, "state")
Row = dict[str, object]


def held(app: WebApp, period: Period = Period.DAILY, window: Window | None = None) -> list[Row]:
    """What the lake has of the symbol, read without the application."""
    bars = klines(Lake(app.home / "lake"), MOUTAI, period, window=window, columns=COLUMNS)
    rows: list[Row] = bars.to_pylist()
    return rows


def told(answer: httpx.Response) -> list[Row]:
    """The bars of a JSON answer, instants as such."""
    assert answer.status_code == 200, answer.text
    bars = answer.json()["bars"]
    return [{**bar, "end_at": datetime.fromisoformat(bar["end_at"])} for bar in bars]


def read(answer: httpx.Response) -> list[Row]:
    """The bars of an answer in any form."""
    kind = answer.headers["content-type"].partition(";")[0]
    if kind == "application/json":
        return told(answer)
    if kind == "text/csv":
        rows = csv.DictReader(io.StringIO(answer.text))
        return [
            {
                **{name: float(row[name]) for name in ("open", "high", "low", "close", "amount")},
                "end_at": datetime.fromisoformat(row["end_at"]),
                "volume": int(row["volume"]),
                "state": row["state"],
            }
            for row in rows
        ]
    source = pa.BufferReader(answer.content)
    arrow = kind == "application/vnd.apache.arrow.stream"
    bars = pa.ipc.open_stream(source).read_all() if arrow else parquet.read_table(source)
    rows_of: list[Row] = bars.to_pylist()
    return rows_of


@pytest.mark.parametrize(
    ("form", "accept"),
    [
        ("json", "application/json"),
        ("csv", "text/html;q=0.1, text/csv"),
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet, */*;q=0.1"),
    ],
)
def test_every_form_has_the_bars_that_the_lake_holds(
    web_app: WebApp, form: str, accept: str
) -> None:
    by_name = web_app.get(f"/api/v1/klines/600519?format={form}")
    by_header = web_app.get("/api/v1/klines/sh600519", headers={"Accept": accept})

    assert read(by_name) == held(web_app) == read(by_header)
    assert by_name.headers["content-type"].partition(";")[0] in accept
    assert len(held(web_app)) == len(SESSIONS)
    assert [row["state"] for row in read(by_name)[-2:]] == ["final", "provisional"]


@pytest.mark.parametrize("period", ["5m", "60m", "weekly", "monthly"])
def test_bars_of_other_periods_are_those_of_the_command(web_app: WebApp, period: str) -> None:
    answer = web_app.get(f"/api/v1/klines/{MOUTAI}?period={period}")

    wanted = [{**row, "state": ""} for row in held(web_app, Period(period))]
    assert [{**row, "state": ""} for row in told(answer)] == wanted
    assert len(wanted) > 2


def test_a_window_is_closed_at_both_ends(web_app: WebApp) -> None:
    window = Window(SESSIONS[3], SESSIONS[7])
    answer = web_app.get(f"/api/v1/klines/{MOUTAI}?from={window.start}&to={window.end}")

    assert told(answer) == held(web_app, window=window)
    assert len(told(answer)) == 5


@pytest.mark.parametrize("period", ["daily", "5m", "15m", "weekly"])
@pytest.mark.parametrize("limit", [1, 7, 50])
def test_pages_follow_each_other_without_a_bar_lost_or_twice(
    web_app: WebApp, period: str, limit: int
) -> None:
    whole = told(web_app.get(f"/api/v1/klines/{MOUTAI}?period={period}"))
    if limit == 1:
        whole = whole[:5]
    pages: list[list[Row]] = []
    path = f"/api/v1/klines/{MOUTAI}?period={period}&limit={limit}"
    with web_app.client() as client:
        while path and sum(len(page) for page in pages) < len(whole):
            answer = client.get(path)
            pages.append(told(answer))
            path = answer.links.get("next", {}).get("url", "")
            assert (answer.json()["next"] is None) == (not path)
    assert [row for page in pages for row in page] == whole
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert limit == 1 or path == ""


def test_adjusted_prices_are_those_of_the_ex_rights_and_say_what_is_not_known(
    web_app: WebApp,
) -> None:
    database = web_app.database()
    events = ExRights(database, web_app.home / "lake").read([MOUTAI])
    database.dispose()
    wanted = klines(
        Lake(web_app.home / "lake"),
        MOUTAI,
        Period.DAILY,
        columns=COLUMNS,
        adjust=Adjustment.QFQ,
        events=events,
    ).to_pylist()

    answer = web_app.get(f"/api/v1/klines/{MOUTAI}?adjust=qfq")

    assert told(answer) == wanted
    first, raw = told(answer)[0], held(web_app)[0]
    assert first["close"] == pytest.approx(float(str(raw["close"])) * (1404 - 28) / 1404)
    assert SESSIONS[0] < EX_SESSION
    (notice,) = answer.json()["notices"]
    assert notice.startswith(f"the ex-rights of {MOUTAI} are not known to be complete (1 recorded)")


def test_an_answer_that_the_client_has_is_not_sent_again(web_app: WebApp) -> None:
    path = f"/api/v1/klines/{PINGAN}?period=daily"
    first = web_app.get(path)
    tag = first.headers["etag"]

    again = web_app.get(path, headers={"If-None-Match": f'"another", {tag}'})
    whichever = web_app.get(path, headers={"If-None-Match": "*"})
    absent = web_app.get(f"/api/v1/klines/{ABSENT}", headers={"If-None-Match": "*"})
    other = web_app.get(f"{path}&format=csv", headers={"If-None-Match": tag})
    weekly = web_app.get(f"/api/v1/klines/{PINGAN}?period=weekly")
    same = web_app.get(
        f"/api/v1/klines/{PINGAN}?period=weekly", headers={"If-None-Match": weekly.headers["etag"]}
    )

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (whichever.status_code, whichever.content, absent.status_code) == (304, b"", 404)
    assert other.status_code == 200
    assert other.headers["etag"] != tag
    assert same.status_code == 304


def test_what_a_commit_writes_is_seen_at_once_and_changes_the_tag(web_app: WebApp) -> None:
    """Of another symbol, too: the file is the same, and a new tag does no harm."""
    name, lake = "600000.SH", Lake(web_app.home / "lake")
    assert web_app.get(f"/api/v1/klines/{name}").status_code == 404
    lake.write(Dataset.KLINE, Period.DAILY, daily_bars(name, 5.0).slice(0, 10))
    wait_for("the bars", lambda: web_app.get(f"/api/v1/klines/{name}").status_code == 200, 5)
    first = web_app.get(f"/api/v1/klines/{name}")
    lake.write(Dataset.KLINE, Period.DAILY, daily_bars(name, 5.0).slice(10, 10))

    def grown() -> bool:
        return len(told(web_app.get(f"/api/v1/klines/{name}"))) == 20

    wait_for("the bars of the second commit", grown, 5)
    assert len(told(first)) == 10
    assert web_app.get(f"/api/v1/klines/{name}").headers["etag"] != first.headers["etag"]


def test_bars_as_they_were_known_at_an_instant_are_those_fetched_by_then(web_app: WebApp) -> None:
    """All bars of the home were fetched on 2026-01-05 at 16:00 in Shanghai."""
    before = web_app.get(f"/api/v1/klines/{MOUTAI}?as_of=2026-01-05T15:59")
    after = web_app.get(f"/api/v1/klines/{MOUTAI}?as_of=2026-01-05T16:00:01")

    assert before.status_code == 404
    assert before.json()["type"].endswith(":nothing-held")
    assert told(after) == held(web_app)
    assert after.json()["as_of"] == "2026-01-05T16:00:01+08:00"


def test_a_board_has_points_and_no_adjustment(web_app: WebApp) -> None:
    points = web_app.get("/api/v1/klines/bk0477")
    adjusted = web_app.get("/api/v1/klines/BK0477?adjust=hfq")

    assert points.json()["symbol"] == "BK0477"
    assert len(told(points)) == len(SESSIONS)
    assert (adjusted.status_code, adjusted.json()["field"]) == (422, "query.adjust")


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("60051", 422, "path.symbol"),
        ("600519?period=2m", 422, "query.period"),
        ("600519?adjust=forward", 422, "query.adjust"),
        ("600519?from=2025-13-01", 422, "query.from"),
        ("600519?from=1700-01-01", 422, "query.from"),
        ("600519?from=2025-12-31&to=2025-01-01", 422, "query.to"),
        ("600519?as_of=2025-12-31", 422, "query.as_of"),
        ("600519?as_of=2999-12-31T10:00", 422, "query.as_of"),
        ("600519?as_of=9999-12-31T23:59:59Z", 422, "query.as_of"),
        ("600519?as_of=9999-12-31T23:59:59-05:00", 422, "query.as_of"),
        ("600519?as_of=0001-01-01T00:00:00%2B23:59", 422, "query.as_of"),
        ("600519?limit=0", 422, "query.limit"),
        ("600519?cursor=x", 422, "query.cursor"),
        ("600519?format=xml", 422, "query.format"),
        ("600519?adjst=qfq", 422, "query.adjst"),
        ("600519?adjust=qfq&adjust=none", 422, "query.adjust"),
        (ABSENT, 404, None),
    ],
)
def test_what_cannot_be_meant_names_the_field_and_the_remedy(
    web_app: WebApp, path: str, status: int, field: str | None
) -> None:
    answer = web_app.get(f"/api/v1/klines/{path}")
    problem = answer.json()

    assert answer.status_code == status == problem["status"], problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.get("field") == field
    assert problem["detail"]
    assert problem["remedy"]
    assert problem["instance"] == f"/api/v1/klines/{path.partition('?')[0]}"


def test_a_name_that_the_query_does_not_take_is_never_answered(web_app: WebApp) -> None:
    """Not where the same bars were asked for a moment ago either, nor to who has no key."""
    path = f"/api/v1/klines/{MOUTAI}?limit=3"
    assert len(told(web_app.get(path))) == 3
    for _ in range(2):
        wrong = web_app.get(f"{path}&adjst=qfq")
        assert (wrong.status_code, wrong.json()["remedy"]) == (422, "write adjust")
        assert {"adjust", "from", "to"} <= set(wrong.json()["context"]["permitted"])
    assert web_app.get(f"{path}&adjst=qfq", None).status_code == 401


def test_a_lake_that_is_away_is_told_and_invites_no_fetching(web_app: WebApp) -> None:
    """Its folder gone, and an empty one in its place, as before a mount; /readyz says so, too."""
    lake = web_app.home / "lake"
    lake.rename(web_app.home / "elsewhere")

    def detail() -> str:
        answer = web_app.get(f"/api/v1/klines/{MOUTAI}")
        assert answer.status_code in (200, 503)  # what was kept of it is served for a moment
        return "" if answer.status_code == 200 else str(answer.json()["detail"])

    try:
        wait_for("the end of the lake", detail, 5)
        for is_made in (False, True):
            if is_made:
                lake.mkdir()
            assert "correct LAKE_DIR" in detail()
            assert "quantsync sync" not in detail()
            later = web_app.get(f"/api/v1/klines/{MOUTAI}?period=weekly&cursor=1751000000")
            assert later.status_code == 503, later.text
        wait_for("the part", lambda: web_app.get("/readyz").status_code == 503, 5)
        parts = web_app.get("/readyz").json()["parts"]
        assert [part["part"] for part in parts if not part["ok"]] == ["lake"]
    finally:
        if lake.exists():
            lake.rmdir()
        (web_app.home / "elsewhere").rename(lake)
    wait_for("the lake", lambda: not detail(), 5)
    assert web_app.get("/api/v1/klines/600001").status_code == 404


def test_a_form_that_cannot_be_given_is_refused(web_app: WebApp) -> None:
    answer = web_app.get(f"/api/v1/klines/{MOUTAI}", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["field"]) == (406, "header.Accept")
    assert "text/csv" in answer.json()["remedy"]


def test_the_last_day_is_that_of_the_lake(web_app: WebApp) -> None:
    last = told(web_app.get(f"/api/v1/klines/{MOUTAI}?from={LAST}"))
    assert [row["end_at"].date() for row in last] == [date(2025, 12, 31)]  # type: ignore[attr-defined]
