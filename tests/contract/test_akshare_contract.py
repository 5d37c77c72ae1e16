"""The AKShare installed is the one we were written for; and one that is not is told, fact by fact.

If the first test fails after an upgrade: ``quantsync doctor --contracts`` says what changed.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest import wire
from ingest.pacing import Lane, UnlimitedBudget
from ingest.sources.contracts.kept import FILE, read_contract
from ingest.sources.eastmoney import EastmoneySource
from market.adjustments import Adjustment
from market.boards import BoardKind
from market.clock import FixedClock
from market.periods import Period
from market.sessions import Window
from market.symbols import parse_symbol
from tests.fixtures.cli import Installation, Said
from tests.fixtures.other_akshare import Edit

if TYPE_CHECKING:
    from ingest.simulator.server import SimulatorServer

HIST, FUNC = "akshare.stock_feature.stock_hist_em", "akshare.utils.func"
CONCEPTS = "akshare.stock.stock_board_concept_em"
GET = "r = requests.get(url, params=params, timeout=timeout)"
LOTS = 'temp_df["成交量"] = pd.to_numeric(temp_df["成交量"], errors="coerce")'
STAMPS = 'temp_df["时间"] = pd.to_datetime(temp_df["时间"]).astype(str)'
EARLIER = '(pd.to_datetime(temp_df["时间"]) - pd.Timedelta(minutes=5)).astype(str)'
SORTED = 'temp_df.sort_values(by=["f3"], ascending=False'


def test_the_akshare_installed_is_as_recorded(installation: Installation, tmp_path: Path) -> None:
    """One line per function, and no home, settings or broker is needed or touched."""
    said = installation.run("doctor", "--contracts", CELERY_BROKER_URL="nonsense")

    assert said.code == 0, said.stdout
    lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * len(lines)
    contract = read_contract()
    assert len(lines) == 1 + len(contract["functions"]) + len(contract["seams"])
    assert list(tmp_path.iterdir()) == []


def test_machines_read_the_same(installation: Installation) -> None:
    """One document: what holds, both versions, no differences."""
    said = installation.run("doctor", "--contracts", "--json")

    assert (said.code, said.json["ok"], said.json["differences"]) == (0, True, [])
    assert said.json["holds"]["stock_zh_a_hist"]
    assert said.json["akshare"]["recorded"] == said.json["akshare"]["installed"]


@pytest.mark.parametrize(
    ("edits", "function", "what", "expected", "found", "used_by"),
    [
        pytest.param(
            [(HIST, '"换手率"', '"换手"')],
            "stock_zh_a_hist",
            "raw: columns 12",
            "换手率: float64",
            "换手: float64",
            "turnover_rate",
            id="renamed column",
        ),
        pytest.param(
            [(HIST, LOTS, f"{LOTS} * 100")],
            "stock_zh_a_hist_min_em",
            "5m: values of 成交量",
            "lots of 100 shares",
            "100 × lots of 100 shares",
            "times 100 it is shares",
            id="other unit",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, '"最高",\n            "最低",', '"最低",\n            "最高",')],
            "stock_zh_a_hist_min_em",
            "5m: values of 最高",
            "CNY",
            "not the CNY served",
            "high",
            id="two columns exchanged",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, STAMPS, f'temp_df["时间"] = {EARLIER}')],
            "stock_zh_a_hist_min_em",
            "5m: labels morning",
            "09:35 … 11:30",
            "09:30 … 11:25",
            "labelled at their end",
            id="moved label",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, 'adjust: str = "",\n    timeout', 'adjust: str = "qfq",\n    timeout')],
            "stock_zh_a_hist",
            "signature: adjust",
            "''",
            "'qfq'",
            "fetch_klines",
            id="changed default",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, GET, f"requests.get(url, params=params); {GET}")],
            "stock_zh_a_hist",
            "raw: requests 2",
            "nothing",
            "again, with nothing changed",
            "the budget counts every request",
            id="extra request",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, '"fid": "f12"', '"fid": "f3"')],
            "stock_zh_a_spot_em",
            "all symbols: requests 1, query fid",
            "f12",
            "f3",
            "fetch_quotes",
            id="list sorted by what moves",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, "def stock_zh_a_spot_em(", "def stock_zh_a_quotes_em(")],
            "stock_zh_a_spot_em",
            "the function",
            "there",
            "missing",
            "fetch_quotes",
            id="removed function",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(CONCEPTS, "@lru_cache()\ndef __stock", "def __stock")],
            f"{CONCEPTS}.__stock_board_concept_name_em",
            "what it is",
            "requests, again, and cleared 1, 0, 1",
            "has no cache that could be cleared",
            "its cache is cleared",
            id="removed lru_cache",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [
                (FUNC, "import time\n", "import time as clock\n"),
                (FUNC, "time.sleep", "clock.sleep"),
            ],
            "akshare.utils.func.time",
            "what it is",
            "can sleep",
            "missing",
            "pacing is ours",
            id="sleeps elsewhere",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(FUNC, SORTED, SORTED.replace("False", "True"))],
            "stock_zh_a_spot_em",
            "all symbols: order 涨跌幅",
            "descending",
            "ascending",
            "fetch_quotes",
            id="other order of rows",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, GET, "import urllib.request; urllib.request.urlopen(url)")],
            "stock_zh_a_hist",
            "raw: past the wire",
            "nothing",
            "push2his.eastmoney.com",
            "fetch_klines",
            id="past the wire",
            marks=pytest.mark.lengthy,
        ),
        pytest.param(
            [(HIST, GET, "from curl_cffi import requests as c; c.get('http://127.0.0.1:9')")],
            "stock_zh_a_hist",
            "raw: past the wire",
            "nothing",
            "an address that only libcurl knows",
            "fetch_klines",
            id="past the wire by libcurl",
            marks=pytest.mark.lengthy,
        ),
    ],
)
def test_each_way_in_which_akshare_may_change_is_named(
    with_other_akshare: Callable[..., Said],
    edits: list[Edit],
    function: str,
    what: str,
    expected: str,
    found: str,
    used_by: str,
) -> None:
    """Exit code 1, and function, fact, both values, and what of ours it concerns."""
    said = with_other_akshare(edits, "doctor", "--contracts", "--json")

    assert said.code == 1, said.stderr
    assert not said.json["ok"]
    assert not said.json["holds"][function]
    named = {(each["function"], each["what"]): each for each in said.json["differences"]}
    difference = named[function, what]
    assert (difference["expected"], difference["found"]) == (expected, found)
    assert used_by in difference["relied_on_by"]


def test_people_read_what_changed_and_what_it_concerns(
    with_other_akshare: Callable[..., Said],
) -> None:
    """Four lines a difference, the remedy at the end, the others as before."""
    said = with_other_akshare([(HIST, LOTS, f"{LOTS} * 100")], "doctor", "--contracts")

    assert said.code == 1
    assert (
        "differs  stock_zh_a_hist_min_em: 5m: values of 成交量\n"
        "         expected  lots of 100 shares\n"
        "         found     100 × lots of 100 shares\n"
        "         used by   EastmoneySource.fetch_klines, 5m: volume: times 100 it is shares\n"
    ) in said.stdout
    assert "ok       stock_board_concept_name_em" in said.stdout
    assert "make contracts" in said.stdout.splitlines()[-1]


@pytest.fixture
def installed_otherwise(tmp_path: Path, installation: Installation) -> Installation:
    """An installation in which AKShare says that it is 9.9.9."""
    said = tmp_path / "site" / "akshare-9.9.9.dist-info" / "METADATA"
    said.parent.mkdir(parents=True)
    said.write_text("Metadata-Version: 2.1\nName: akshare\nVersion: 9.9.9\n", encoding="utf-8")
    root = installation.variables["PYTHONPATH"]
    installation.environment["PYTHONPATH"] = f"{tmp_path / 'site'}:{root}"
    return installation


def test_another_version_alone_is_a_difference(installed_otherwise: Installation) -> None:
    """So that an upgrade is never taken without its line in the contract."""
    said = installed_otherwise.run("doctor", "--contracts", "--json")

    assert said.code == 1
    (difference,) = said.json["differences"]
    recorded = read_contract()["akshare"]
    assert (difference["expected"], difference["found"]) == (recorded, "9.9.9")


def test_a_sync_with_another_version_is_warned_once_and_not_refused(
    installed_otherwise: Installation,
) -> None:
    """In the log of the process that fetches, without importing AKShare for it."""
    script = (
        "import sys; from pipeline.runtime import Runtime; from pipeline.settings import Settings;"
        "sources = [Runtime(Settings()).source(u) for u in ('live', 'http://127.0.0.1:9', 'live')];"
        "print([s.name for s in sources], 'akshare' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=installed_otherwise.variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.split("]")[1].strip() == "False"
    (warning,) = done.stderr.splitlines()
    assert "AKShare 9.9.9 is installed" in warning
    assert "quantsync doctor --contracts" in warning


def test_doctor_lists_another_version_as_a_warning(
    installation: Installation, installed_otherwise: Installation
) -> None:
    """With both versions and the remedy; today it is fine."""
    found = {f["what"]: f for f in installed_otherwise.run("doctor", "--json").json["findings"]}

    assert found["akshare"]["level"] == "warning"
    assert "9.9.9" in found["akshare"]["says"]
    assert "quantsync doctor --contracts" in found["akshare"]["remedy"]
    del installation.environment["PYTHONPATH"]
    findings = installation.run("doctor", "--json").json["findings"]
    assert [f["level"] for f in findings if f["what"] == "akshare"] == ["ok"]


def test_recording_without_contracts_is_wrong_usage(installation: Installation) -> None:
    """Nothing is written by chance."""
    said = installation.run("doctor", "--write")

    assert said.code == 2
    assert "--contracts" in said.stderr


def test_the_contract_is_written_so_that_a_review_can_read_it() -> None:
    """One fact a line, Chinese as Chinese, and recording it again changes no byte."""
    text = FILE.read_text(encoding="utf-8")

    assert f"{json.dumps(json.loads(text), ensure_ascii=False, indent=1)}\n" == text
    assert "成交量: int64" in text


@pytest.fixture
def source(simulator: "SimulatorServer") -> Iterator[EastmoneySource]:
    """The product's source, its wire sent to the simulator."""
    wire.install(wire.UpstreamAdapter())
    upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), simulator.url)}
    with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60):
        yield EastmoneySource(FixedClock(simulator.clock.now()))
    wire.uninstall()


DECEMBER = Window(date(2025, 12, 1), date(2025, 12, 31))
MOUTAI = parse_symbol("600519")
ASKED: dict[tuple[str, str], Callable[[EastmoneySource], Any]] = {
    ("stock_zh_a_hist", "raw"): lambda s: s.fetch_klines(MOUTAI, Period.DAILY, DECEMBER),
    ("stock_zh_a_hist", "forward adjusted"): lambda s: s.fetch_klines(
        MOUTAI, Period.DAILY, DECEMBER, Adjustment.QFQ
    ),
    ("stock_zh_a_hist", "backward adjusted"): lambda s: s.fetch_klines(
        MOUTAI, Period.DAILY, DECEMBER, Adjustment.HFQ
    ),
    ("stock_zh_a_hist_min_em", "5m"): lambda s: s.fetch_klines(MOUTAI, Period.M5, DECEMBER),
    ("stock_zh_a_hist_min_em", "1m"): lambda s: s.fetch_klines(MOUTAI, Period.M1, DECEMBER),
    ("stock_zh_a_spot_em", "all symbols"): lambda s: s.fetch_quotes(),
    ("stock_board_concept_name_em", "all concepts"): lambda s: s.fetch_board_list(
        BoardKind.CONCEPT
    ),
    ("stock_board_industry_name_em", "all industries"): lambda s: s.fetch_board_list(
        BoardKind.INDUSTRY
    ),
    ("stock_board_concept_cons_em", "by board code"): lambda s: s.fetch_board_members(
        BoardKind.CONCEPT, "BK0818"
    ),
    ("stock_board_industry_cons_em", "by board code"): lambda s: s.fetch_board_members(
        BoardKind.INDUSTRY, "BK0477"
    ),
    ("stock_board_concept_hist_em", "by board code"): lambda s: s.fetch_board_klines(
        BoardKind.CONCEPT, "BK0818", DECEMBER
    ),
    ("stock_board_industry_hist_em", "by board code"): lambda s: s.fetch_board_klines(
        BoardKind.INDUSTRY, "BK0477", DECEMBER
    ),
}


@pytest.mark.parametrize("call", ASKED, ids=" ".join)
def test_the_contract_holds_what_the_source_really_asks(
    source: EastmoneySource, simulator: "SimulatorServer", call: tuple[str, str]
) -> None:
    """The first request of each fetch is the one recorded: nothing is guarded in vain."""
    ASKED[call](source)

    sent = simulator.log.since(0)[0]
    recorded = read_contract()["functions"][call[0]]["calls"][call[1]]["requests"][0]
    assert recorded["to"].partition("://")[2] == f"{sent.host}{sent.path}"
    assert sent.query == {name: recorded["query"][name] for name in sent.query}
