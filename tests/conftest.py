"""What every test stands on: fixtures as plugins, a clean environment, a seed that can be set."""

import os
import random
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent.parent
SEED = int(os.environ.get("TEST_SEED", "20260105"))

pytest.register_assert_rewrite("tests.fixtures")
pytest_plugins = [
    f"tests.fixtures.{module.stem}"
    for module in sorted((ROOT / "tests" / "fixtures").glob("*.py"))
    if module.stem != "__init__"
]

# Before any test module is imported: no setting and no proxy of the developer's may leak in, and
# the machine must not stand in Shanghai, or a forgotten time zone would go unseen.
_KEPT = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "REQUIRE_SERVICES", "TERM", "TMPDIR", "USER"}
for _name in set(os.environ) - _KEPT:
    if not _name.startswith(("PYTEST_", "TEST_")):
        del os.environ[_name]
# A fault of Eastmoney's must be seen as it is, and not be hidden by whoever steps in.
os.environ["FAILOVER_DAILY"] = os.environ["FAILOVER_MINUTE"] = "none"
# A run in the background of a shell ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A port of its own is for tests that ask it.
os.environ["WEB_UP"] = "false"
os.environ["TZ"] = "America/New_York"
time.tzset()
# Subprocesses run in other folders and must import this tree too.
os.environ["PYTHONPATH"] = str(ROOT)

hypothesis.settings.register_profile("quantsync", deadline=None, print_blob=True)
hypothesis.settings.load_profile("quantsync")


@pytest.fixture
def seed() -> int:
    """The seed for everything random in a test; set TEST_SEED to try another."""
    return SEED


@pytest.fixture(autouse=True)
def _own_ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in an empty folder, so it reads no ``.env`` and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    random.seed(SEED)


# Files whose tests share what takes long to make: one process runs them all. (The groups of
# --dist loadgroup are names behind the node ids, which pytest no longer lets anyone write.)
_TOGETHER = {
    "tests/e2e/test_cluster.py": "rabbitmq",
    "tests/integration/test_report.py": "troubled_market",
    "tests/integration/test_services.py": "rabbitmq",
    "tests/integration/test_workers.py": "cluster",
    "tests/web/test_klines_api.py": "web",
    "tests/web/test_page.py": "page",
    "tests/web/test_pages.py": "web",
    "tests/web/test_web_guard.py": "web",
    "tests/web/test_web_runs.py": "web",
    "tests/web/test_web_schema.py": "web",
}


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out test by test, but for those that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        return _TOGETHER.get(nodeid.partition("::")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Replace what ``--dist`` names."""
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped ``services`` test where services are required; name the seed of a failure."""
    report = yield
    required = os.environ.get("REQUIRE_SERVICES") == "1"
    if report.skipped and required and item.get_closest_marker("services"):
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_SERVICES=1, and yet: {report.longreprtext}"
    if report.failed:
        report.sections.append(("seed", f"TEST_SEED={SEED}"))
    return report
