"""Whatever is wrong gets one clear sentence, a documented exit code, and loses nothing."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from market.bars import Dataset
from market.boards import SYMBOL_LIST_SCHEMA
from market.periods import Period
from pipeline.prices import settle_prices
from pipeline.reconcile import mend
from pipeline.request import STOCKS, Request
from pipeline.runs import commit_wave, start_run
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.errors import StorageError
from storage.run_records import OutcomeRow, RunState, Work
from tests.fixtures.bars import bars_of, daily_bar
from tests.fixtures.cli import Installation, Said
from tests.fixtures.misbehaving import Answer, MisbehavingServer, respond

if TYPE_CHECKING:
    from ingest.simulator.server import SimulatorServer


def one_sentence(said: Said) -> str:
    """The error, which must be one line and no traceback."""
    lines = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said.stderr
    assert "Traceback" not in said.stderr + said.stdout
    return lines[0]


def closed_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("stocks", "--symbols", "60051"), "'60051' is not a symbol"),
        (("stocks", "--symbols", "600519.SZ"), "not listed on SZ"),
        (("stocks", "--symbols", "510300"), "is a fund, not an A share"),
        (("stocks", "--symbols", ","), "names nothing"),
        (("stocks", "--period", "2m"), "'2m' is not a period"),
        (("stocks", "--period", "weekly"), "aggregated from daily"),
        (("stocks", "--from", "2024-13-01"), "is not a date"),
        (("stocks", "--from", "2024-02-01", "--to", "2024-01-01"), "swap them"),
        (("concepts", "--symbols", "酿酒"), "is not a board code"),
        (("stocks", "--no-wait"), "needs a broker"),
    ],
)
def test_a_request_that_cannot_be_meant_starts_nothing(
    installation: Installation, words: tuple[str, ...], sentence: str
) -> None:
    """Exit code 2, and not even a folder is made."""
    said = installation.run("sync", *words)

    assert (said.code, sentence in one_sentence(said)) == (2, True), said.stderr
    assert not installation.home.exists()


def test_a_window_in_the_future_is_refused_with_the_latest_session(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """The market's clock decides what the future is."""
    words: tuple[str, ...] = ("sync", "stocks", "--symbols", "600519", "--upstream", simulator.url)
    said = installation.run(*words, "--from", "2026-01-05", "--json")

    assert said.code == 2
    assert "in the future" in one_sentence(said)
    assert "2025-12-31" in said.json["error"]
    assert installation.run("runs", "--json").json == []


def test_a_window_beyond_the_recorded_calendar_says_so(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """History before the exchange existed is no gap."""
    words: tuple[str, ...] = ("sync", "stocks", "--symbols", "600519", "--upstream", simulator.url)
    said = installation.run(*words, "--from", "1980-01-01")

    assert (said.code, "first session" in one_sentence(said)) == (2, True)


def test_an_unreachable_real_upstream_is_said_within_seconds_and_kept_per_symbol(
    installation: Installation,
) -> None:
    """With no way to Eastmoney the ledger has the reason for each symbol, and nothing hangs."""
    began = time.monotonic()
    said = installation.run(
        "sync", "stocks", "--symbols", "600519,000001,300750", "--upstream", "live",
        "--from", "2026-01-05", "--json",
        PROXY_URL=f"http://127.0.0.1:{closed_port()}",
        BUDGET_EASTMONEY="50/1s",
    )  # fmt: skip

    assert time.monotonic() - began < 30
    assert (said.code, said.json["state"]) == (1, "failed")
    assert said.json["outcomes"] == {"unreachable": 3}
    failures = installation.run("runs", said.json["run_id"], "--failures", "--json").json["details"]
    assert {row["subject"] for row in failures} == {"600519.SH", "000001.SZ", "300750.SZ"}
    proxy = "no connection to the proxy of PROXY_URL (connection refused)"
    assert {row["reason"] for row in failures} == {f"eastmoney is unreachable: {proxy}"}


@pytest.mark.parametrize("role", ["proxy", "upstream"])
@pytest.mark.lengthy
def test_an_upstream_that_takes_connections_and_never_answers_is_said_within_half_a_minute(
    installation: Installation, misbehaving: Callable[[Answer], MisbehavingServer], role: str
) -> None:
    """Three symbols do not each wait for their own timeouts, and the reason says what happened."""
    market_time = respond(json.dumps({"now": "2025-12-31T16:00:00+08:00"}).encode())

    def answer(connection: socket.socket, head: str) -> None:
        if head.startswith("GET /__simulator__/clock "):
            market_time(connection, head)
        else:
            time.sleep(60)

    server = misbehaving(answer)
    words: tuple[str, ...] = ("sync", "stocks", "--symbols", "600519,000001,300750", "--json")
    installation.environment["BUDGET_EASTMONEY"] = "50/1s"
    if role == "proxy":
        installation.environment["PROXY_URL"] = server.url
        words += ("--upstream", "live", "--from", "2026-01-05")
    else:
        words += ("--upstream", server.url, "--from", "2025-12-01")
    began = time.monotonic()
    said = installation.run(*words)

    assert time.monotonic() - began < 30
    assert (said.code, said.json["outcomes"]) == (1, {"unreachable": 3})
    who = "the proxy of PROXY_URL" if role == "proxy" else "push2his.eastmoney.com"
    for failure in said.json["failures"]:
        assert f"{who} accepts connections but does not answer" in failure["reason"]
    asked = [head for head in server.heads if "__simulator__" not in head]
    assert len(asked) == 2, "nothing more is sent once it is known"


def test_a_simulator_that_is_not_there_is_said(installation: Installation) -> None:
    """A URL on which nothing answers is a mistake of configuration."""
    said = installation.run("sync", "stocks", "--upstream", f"http://127.0.0.1:{closed_port()}")

    assert (said.code, "no market simulator answers" in one_sentence(said)) == (2, True)
    assert "(connection refused)" in one_sentence(said)


def test_a_refused_broker_is_said_before_anything_is_planned(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Redis or RabbitMQ, with the address and without the password."""
    for scheme in ("redis", "amqp"):
        url = f"{scheme}://user:secret@127.0.0.1:{closed_port()}/0"
        said = installation.run(
            "sync", "stocks", "--upstream", simulator.url, CELERY_BROKER_URL=url
        )

        assert said.code == 1, said.stderr
        assert "does not answer (" in one_sentence(said)
        assert "onnection refused" in one_sentence(said)
        assert "secret" not in said.stderr
    assert installation.run("runs", "--json").json == []


@pytest.mark.parametrize(
    "variable", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "BUDGET_REDIS_URL"]
)
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("foo://user:secret@x", "foo is no scheme here: use redis://"),
        ("nonsense", "that is no scheme here"),
        ("redis://user:secret@127.0.0.1:port/0", "its port is no number"),
    ],
)
@pytest.mark.lengthy
def test_a_broker_or_backend_of_no_known_kind_is_wrong_usage(
    installation: Installation, variable: str, url: str, sentence: str
) -> None:
    """One sentence with the variable, what is accepted, and no password."""
    installation.environment[variable] = url
    said = installation.run("sync", "stocks", "--upstream", "simulator")

    assert (said.code, sentence in one_sentence(said)) == (2, True), said.stderr
    assert f"{variable}=" in said.stderr
    assert "secret" not in said.stderr
    assert not installation.home.exists()


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("nonsense", 2, "no database URL"),
        ("mysql://user:secret@host/db", 2, "mysql"),
        ("sqlite://", 2, "names no database"),
        ("postgresql://user:secret@127.0.0.1:1/quantsync", 1, "cannot be used"),
    ],
)
def test_a_wrong_database_is_said_without_its_password(
    installation: Installation, url: str, code: int, sentence: str
) -> None:
    """What is accepted stands in the message."""
    said = installation.run("sync", "stocks", "--upstream", "simulator", DATABASE_URL=url)

    assert (said.code, sentence in one_sentence(said)) == (code, True), said.stderr
    assert "secret" not in said.stderr


def test_a_database_where_no_file_can_be_made_is_said_at_once(installation: Installation) -> None:
    """In a folder of the kernel's that takes no file; waiting for it would never end."""
    said = installation.run("status", DATABASE_URL="sqlite:////proc/quantsync.db", timeout=20)

    assert (said.code, "cannot be written" in one_sentence(said)) == (1, True), said.stderr
    assert "/proc/quantsync.db" in said.stderr


def test_a_wrong_setting_is_named(installation: Installation) -> None:
    """Every wrong variable at once."""
    said = installation.run("status", BUDGET_EASTMONEY="fast", QUANT_CONCURRENCY="0")

    assert said.code == 2
    assert "BUDGET_EASTMONEY" in one_sentence(said)
    assert "QUANT_CONCURRENCY" in said.stderr


def test_a_home_that_cannot_be_written_is_said(installation: Installation, tmp_path: Path) -> None:
    """A file where the folder should be stops even the superuser."""
    (tmp_path / "home").write_text("in the way")

    said = installation.run("sync", "stocks", "--upstream", "simulator")

    assert (said.code, "cannot be written" in one_sentence(said)) == (1, True)


@pytest.mark.lengthy
def test_a_read_only_lake_fails_the_run_and_loses_nothing(
    installation: Installation, simulator: "SimulatorServer", tmp_path: Path
) -> None:
    """What was fetched stays staged; once the lake can be written the run goes on."""
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    words: tuple[str, ...] = ("sync", "stocks", "--symbols", "600519", "--from", "2025-12-01")
    words += ("--upstream", simulator.url, "--json")

    said = installation.run(*words, LAKE_DIR=str(blocked / "lake"))

    assert (said.code, said.json["state"]) == (1, "failed"), said.stderr
    assert "cannot be written" in said.json["reason"]
    assert said.json["outcomes"] == {"not_stored": 1}
    # What was staged is not lost: whoever comes next writes it where it lacks.
    again = installation.run(*words)
    assert again.code == 0, again.stderr
    verified = installation.run("verify", "--json").json
    assert (verified["equal"], verified["bars"]) == (True, 23)


@pytest.mark.lengthy
def test_a_corrupt_parquet_file_is_named_and_left_as_it_is(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Reading, verifying and writing all say which file; none overwrites it."""
    words: tuple[str, ...] = ("sync", "stocks", "--upstream", simulator.url, "--json")
    assert installation.run(*words, "--symbols", "600519", "--from", "2025-12-01").code == 0
    file = installation.home / "lake/kline/period=daily/year=2025/kline.parquet"
    file.write_bytes(b"rotten")

    for command in (("klines", "600519"), ("verify",)):
        said = installation.run(*command)
        assert said.code == 1
        assert "no readable Parquet file" in said.stdout + said.stderr
    said = installation.run(*words, "--symbols", "000001", "--from", "2025-12-01")

    assert said.code == 1
    assert str(file) in said.json["reason"]
    assert "quantsync verify --repair" in said.json["reason"]
    assert file.read_bytes() == b"rotten"


def runs_of(installation: Installation) -> list[str]:
    """The ids of all runs that the ledger knows."""
    return [run["run_id"] for run in installation.run("runs", "--json").json]


@pytest.mark.lengthy
def test_real_prices_are_not_mixed_into_simulated_ones(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Said when the run is planned: exit code 2, no request, nothing recorded."""
    words = ("--from", "2025-12-31", "--upstream", simulator.url)
    assert installation.run("sync", "industries", *words).code == 0
    before = runs_of(installation)

    for what in (("stocks", "--symbols", "600519"), ("stocks",), ("concepts",), ("all",)):
        said = installation.run(
            "sync", *what, "--upstream", "live", PROXY_URL=f"http://127.0.0.1:{closed_port()}"
        )
        assert said.code == 2, said.stdout
        assert "holds simulated prices; real ones are not mixed in" in one_sentence(said)

    assert runs_of(installation) == before
    assert {b["kind"] for b in installation.run("boards", "--json").json} == {"industry"}


@pytest.mark.lengthy
def test_simulated_prices_are_not_mixed_into_real_ones(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """The other way round as well; the simulator is asked for nothing."""
    runtime = Runtime(Settings(quantsync_home=installation.home))
    settle_prices(runtime, "live")  # as the first commit of real ones does

    said = installation.run("sync", "all", "--upstream", simulator.url)

    assert said.code == 2
    assert "holds real prices; simulated ones are not mixed in" in one_sentence(said)
    assert simulator.log.since(0) == []
    assert runs_of(installation) == []


@pytest.mark.parametrize("work", [Work.KLINE, Work.SYMBOL_LIST])
@pytest.mark.lengthy
def test_of_two_first_runs_only_one_kind_of_prices_is_committed(
    installation: Installation, work: Work
) -> None:
    """Both were planned while the home was empty: the later commit is refused, lists included."""
    runtime = Runtime(Settings(quantsync_home=installation.home))
    named = ("600519.SH",) if work is Work.KLINE else None
    request = Request(STOCKS, "live", symbols=named, start=date(2026, 1, 5), end=date(2026, 1, 5))
    run_id = start_run(runtime, request, publish=lambda _run, _wave: None)
    assert run_id is not None
    tables = {
        Work.KLINE: ("kline", bars_of([daily_bar("600519.SH", date(2026, 1, 5))])),
        Work.SYMBOL_LIST: (
            "symbol_list",
            pa.Table.from_pylist(
                [{"symbol": "600519.SH", "name": "n", "suspended": False}],
                schema=SYMBOL_LIST_SCHEMA,
            ),
        ),
    }
    claim = runtime.ledger.claim_batch(run_id, 0, 60)
    assert claim is not None
    manifest = runtime.staging.write(run_id, 0, claim.token, dict([tables[work]]))
    subject = named[0] if named else "symbols"
    outcomes = [OutcomeRow(subject, "ok", rows=1)]
    runtime.ledger.stage_batch(
        claim, manifest=manifest, rows=1, requests=1, work=work, outcomes=outcomes
    )
    settle_prices(runtime, "simulator")

    with pytest.raises(StorageError, match="holds simulated prices"):
        commit_wave(runtime, run_id, 0, lambda _run, _wave: None)
    runtime.ledger.end_run(run_id, RunState.FAILED, "of the other kind")
    mend(runtime)

    assert runtime.lake.read(Dataset.KLINE, Period.DAILY).num_rows == 0
    assert runtime.catalog.symbols(listed_only=False) == []


@pytest.mark.lengthy
def test_every_command_has_help_with_an_example() -> None:
    """And the root lists the exit codes."""
    environment = {**os.environ, "COLUMNS": "200"}

    def help_of(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *words, "--help"],
            capture_output=True, text=True, check=True, env=environment,
        ).stdout  # fmt: skip

    assert "Exit codes" in help_of()
    for words in (
        ("sync", "stocks"), ("sync", "concepts"), ("sync", "industries"), ("sync", "all"),
        ("backfill",), ("klines",), ("boards",), ("status",), ("runs",), ("verify",), ("up",),
    ):  # fmt: skip
        assert "Example: quantsync" in help_of(*words), words
    assert "examples:\n  quantsync simulator --seed" in help_of("simulator")
    assert "python -m" not in help_of("simulator")


def test_json_errors_are_one_document(installation: Installation) -> None:
    """A machine reads the same sentence that a person does."""
    said = installation.run("klines", "600519", "--json")

    assert said.code == 1
    document = json.loads(said.stdout)
    assert document["type"] == "NothingHeldError"
    assert document["context"] == {"symbol": "600519.SH", "period": "daily"}
