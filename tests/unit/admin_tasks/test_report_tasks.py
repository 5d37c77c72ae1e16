"""What report tasks need, and what they do not load before a report is made."""

import subprocess
import sys

import pytest

from admin_tasks import report_tasks
from admin_tasks.handed import _makers
from market.errors import ConfigurationError

MEANS = "admin_tasks.report_tasks.Means"
DRAWING = ("fontTools", "jinja2", "matplotlib", "weasyprint")


def test_neither_a_worker_nor_the_help_of_the_command_loads_what_draws() -> None:
    script = "\n".join(
        [
            "import sys",
            "from pipeline.app import app",
            "app.loader.import_default_modules()",
            "assert {'admin_tasks.generate_report', 'admin_tasks.send_report'} <= set(app.tasks)",
            "from pipeline.commands import load_commands",
            "load_commands('pipeline.cli_report')",
            f"print(sorted({{m.split('.')[0] for m in sys.modules}} & set({DRAWING})))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_a_report_for_nobody_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*_asked: object) -> None:
        raise AssertionError("it was made")

    nobody = report_tasks.Means(make, recipients=tuple)  # type: ignore[arg-type]
    monkeypatch.setitem(_makers, MEANS, lambda: nobody)

    with pytest.raises(ConfigurationError, match="set REPORT_RECIPIENTS"):
        report_tasks.send_report()


def test_a_process_without_stores_says_where_report_tasks_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(_makers, MEANS, raising=False)

    with pytest.raises(ConfigurationError, match=r"-A pipeline\.app"):
        report_tasks.generate_report("somebody")
