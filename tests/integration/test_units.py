"""The systemd units: systemd takes them, they are shut tight, and what they start exists."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.bin.base import CLIContext
from celery.bin.celery import celery as celery_command
from click import Context

from pipeline.app import create_app
from pipeline.bench.processes import stop
from pipeline.bench.redis_server import RedisServer
from pipeline.commands import COMMANDS, load_commands
from pipeline.queues import ADMIN_QUEUES, ALL_QUEUES, QUANT_QUEUES
from pipeline.settings import Settings
from tests.fixtures.units import DEPLOY, SERVICES, Unit, read_env_file, read_unit

WORKERS = {"quantsync-worker.service": ADMIN_QUEUES, "quantsync-worker-quant.service": QUANT_QUEUES}
PROGRAMS = "/opt/quantsync/current/bin/"
WORST_SCORE = 3.0


def analyze(staged: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["systemd-analyze", words[0], f"--root={staged}", *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def instance(service: str) -> str:
    return service.replace("@.", "@2.")


def started(unit: Unit) -> list[str]:
    return unit.words("ExecStart", **unit.environment)


def celery_context(unit: Unit) -> Context:
    """The unit's Celery command, taken apart by Celery's own parser."""
    program, app_option, app_name, name, *arguments = started(unit)
    assert (program, app_option, app_name) == (f"{PROGRAMS}celery", "-A", "pipeline.app")
    app = create_app(Settings())
    above = Context(celery_command, info_name="celery")
    above.obj = CLIContext(app=app, no_color=True, workdir=None)
    command = celery_command.get_command(above, name)
    assert command is not None
    context: Context = command.make_context(name, arguments, parent=above)
    return context


@pytest.mark.services
@pytest.mark.parametrize("unit", [*map(instance, SERVICES), "quantsync.target"])
def test_systemd_finds_nothing_to_say_about_a_unit(staged: Path, unit: str) -> None:
    said = analyze(staged, "verify", unit)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@pytest.mark.services
@pytest.mark.parametrize("service", [*map(instance, SERVICES)])
def test_a_service_is_shut_tight(staged: Path, service: str) -> None:
    said = analyze(staged, "security", "--offline=true", "--no-pager", service)
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert score is not None, said.stderr
    assert float(score[1]) <= WORST_SCORE


def test_the_target_starts_every_service_and_stops_it() -> None:
    wanted = set(" ".join(read_unit("quantsync.target").settings["Wants"]).split())
    assert wanted == {service for service in SERVICES if "@" not in service}
    assert all(read_unit(service).one("PartOf") == "quantsync.target" for service in SERVICES)


def test_services_see_the_processes_that_hold_leases() -> None:
    """A process that another cannot see is dead to the ledger, and loses its batch."""
    for service in SERVICES:
        hidden = {"ProtectProc", "ProcSubset", "PrivateUsers", "PrivatePIDs"}
        assert hidden.isdisjoint(read_unit(service).settings)


@pytest.mark.parametrize("service", WORKERS)
def test_celery_takes_what_a_worker_is_started_with(service: str) -> None:
    parameters = celery_context(read_unit(service)).params
    assert tuple(parameters["queues"]) == WORKERS[service]
    assert (parameters["without_gossip"], parameters["without_mingle"]) == (True, True)


def test_every_queue_has_a_worker_that_serves_it() -> None:
    served = [
        queue for name in WORKERS for queue in celery_context(read_unit(name)).params["queues"]
    ]
    assert sorted(served) == sorted(ALL_QUEUES)


def test_celery_takes_what_beat_is_started_with() -> None:
    unit = read_unit("quantsync-beat.service")
    parameters = celery_context(unit).params
    assert Path(parameters["schedule"]).parent in unit.writable


def test_flower_takes_what_it_is_started_with() -> None:
    """Flower passes over an option that it does not know, and would listen everywhere."""
    code = "import flower.options, tornado.options; print(*tornado.options.options._options)"
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    context = celery_context(read_unit("quantsync-flower.service"))
    given = dict(word.removeprefix("--").split("=") for word in context.params["tornado_argv"])
    assert set(given) <= set(listed.stdout.split())
    assert given["address"] == "127.0.0.1"


@pytest.mark.parametrize("service", ["quantsync-metrics.service", "quantsync-web.service"])
def test_the_command_of_a_service_exists(service: str) -> None:
    program, name, *arguments = started(read_unit(service))
    assert program == f"{PROGRAMS}quantsync"
    assert name in COMMANDS
    load_commands(COMMANDS[name].module)[name].make_context(name, arguments)


def test_without_a_password_flower_is_left_out_and_says_so() -> None:
    condition = read_unit("quantsync-flower.service").words("ExecCondition")
    path = {"PATH": os.environ["PATH"]}
    without = subprocess.run(condition, env=path, capture_output=True, text=True, check=False)
    with_one = subprocess.run(condition, env=path | {"FLOWER_BASIC_AUTH": "a:b"}, check=False)
    # From 1 to 254 the service is passed over, and has not failed.
    assert (without.returncode, with_one.returncode) == (1, 0)
    assert "set FLOWER_BASIC_AUTH=user:password" in without.stdout


def test_services_may_write_where_the_shipped_settings_let_them() -> None:
    given, _ = read_env_file(DEPLOY / "quantsync.env")
    settings = Settings.model_validate({name.lower(): value for name, value in given.items()})
    database = Path(settings.sql_url.removeprefix("sqlite:///"))
    places = [settings.home, settings.lake_path, settings.staging_path, database]
    for service in SERVICES:
        unit = read_unit(service)
        assert unit.one("ProtectSystem") == "strict"
        for place in [*places, Path(unit.one("WorkingDirectory"))]:
            assert any(place.is_relative_to(folder) for folder in unit.writable), (service, place)


@pytest.fixture
def service_manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        yield listener


@pytest.mark.parametrize("service", WORKERS)
def test_a_worker_says_that_it_is_ready_that_it_lives_and_that_it_stops(
    service: str, service_manager: socket.socket, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Started with the unit's own words and the shipped settings, but for places."""
    unit = read_unit(service)
    given, _ = read_env_file(DEPLOY / "quantsync.env")
    environment = {
        **os.environ,
        **unit.environment,
        **given,
        "QUANTSYNC_HOME": str(tmp_path / "home"),
        "CELERY_BROKER_URL": redis_server.url(1),
        "CELERY_RESULT_BACKEND": redis_server.url(2),
        "SCHEDULE_ENABLED": "false",
        "NOTIFY_SOCKET": service_manager.getsockname(),
    }
    arguments = [sys.executable, "-m", "celery", *started(unit)[1:]]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
    try:
        told = [service_manager.recv(100) for _ in range(3)]
        stopping = unit.words("ExecStop")
        # Beside the wait: it looks for the process, which is there until it is waited for.
        with subprocess.Popen(stopping, env=environment | {"MAINPID": str(process.pid)}) as asking:
            code = process.wait(30)
            assert asking.wait(30) == 0
    finally:
        stop(process)
    service_manager.settimeout(1)
    while told[-1] != b"STOPPING=1":
        told.append(service_manager.recv(100))
    assert told[:3] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    assert code == 0, (tmp_path / "log").read_text()


def test_stopping_a_service_that_has_ended_by_itself_is_no_error() -> None:
    for service in WORKERS:
        words = read_unit(service).words("ExecStop")
        environment = {"PATH": os.environ["PATH"]}
        assert subprocess.run(words, env=environment, check=False).returncode == 0


def test_a_worker_has_time_for_its_soft_shutdown_before_it_is_killed() -> None:
    soft = create_app(Settings()).conf.worker_soft_shutdown_timeout
    for service in WORKERS:
        unit = read_unit(service)
        assert (unit.one("KillSignal"), unit.one("KillMode")) == ("SIGQUIT", "mixed")
        assert int(unit.one("TimeoutStopSec")) > soft + 10
        warm = re.search(r"timeout (\d+) tail", unit.one("ExecStop"))
        assert warm is not None
        assert int(unit.one("TimeoutStopSec")) > int(warm[1])


def test_a_service_that_hangs_is_found_in_the_time_of_the_embedded_stack() -> None:
    for service in WORKERS:
        unit = read_unit(service)
        assert (unit.one("Type"), unit.one("NotifyAccess")) == ("notify", "main")
        assert float(unit.one("WatchdogSec")) == Settings().hang_after_s


def test_a_wrong_setting_ends_a_service_for_good_and_is_named(tmp_path: Path) -> None:
    """Trying again would not help, and would hide the reason below a thousand others."""
    environment = {**os.environ, "QUANTSYNC_HOME": str(tmp_path), "HANG_AFTER_S": "soon"}
    words = started(read_unit("quantsync-beat.service"))
    ended = subprocess.run(
        [sys.executable, "-m", "celery", *words[1:]],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "HANG_AFTER_S='soon'" in ended.stderr
    for service in SERVICES:
        unit = read_unit(service)
        assert int(unit.one("RestartPreventExitStatus")) == ended.returncode
        assert unit.one("Restart") == "always"


def test_the_template_is_the_quant_worker_under_other_names() -> None:
    template = DEPLOY / "systemd" / "quantsync-worker-quant@.service"
    assert template.read_text() == (DEPLOY / "systemd/quantsync-worker-quant.service").read_text()
    assert "quant%i@%%h" in read_unit(template.name).one("ExecStart")
