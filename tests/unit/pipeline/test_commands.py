"""Commands are listed without what they import, and the listing is true."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import COMMANDS, load_commands

HEAVY = ("akshare", "alembic", "celery", "numpy", "pandas", "pyarrow", "redis", "sqlalchemy")
LOADED = f"print(sorted({{m.split('.')[0] for m in sys.modules}} & set({HEAVY})))"


def python(script: str) -> str:
    """What a process of its own prints last."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_the_command_line_imports_nothing_heavy() -> None:
    assert python(f"import pipeline.cli\n{LOADED}") == "[]"


def test_the_listing_of_all_commands_imports_nothing_heavy() -> None:
    listing = "from pipeline.cli import main\nsys.argv = ['quantsync', '--help']"
    assert python(f"{listing}\ntry:\n    main()\nexcept SystemExit:\n    {LOADED}") == "[]"


def test_settings_are_read_without_redis_or_pandas() -> None:
    assert python(f"import pipeline.settings\n{LOADED}") == "[]"


@pytest.mark.parametrize("module", ["pipeline.cli_sync", "pipeline.cli_serve"])
def test_what_starts_the_embedded_stack_imports_nothing_heavy_before_that(module: str) -> None:
    assert python(f"import {module}, pipeline.stack\n{LOADED}") == "[]"


def test_a_process_of_the_stack_imports_no_plug_in_of_celerys_command_line() -> None:
    program = "import pipeline.celery_process, celery.bin.worker, celery.bin.beat, pipeline.app"
    unasked = "{'flower', 'prompt_toolkit', 'click_repl', 'pandas', 'numpy', 'sqlalchemy'}"
    assert python(f"{program}\nprint({unasked} & set(sys.modules))") == "set()"


def test_a_status_with_nothing_under_way_needs_no_redis_and_no_celery() -> None:
    status = "from pipeline.cli import main\nsys.argv = ['quantsync', 'status']"
    loaded = python(f"{status}\ntry:\n    main()\nexcept SystemExit:\n    {LOADED}")
    assert "sqlalchemy" in loaded
    assert not {"akshare", "celery", "pandas", "redis"} & set(loaded.strip("[]'").split("', '"))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listing_says_what_the_command_says_of_itself(name: str) -> None:
    command = load_commands(COMMANDS[name].module)[name]
    first = (command.help or "").split("\n\n")[0]
    assert " ".join(first.split()) == COMMANDS[name].says


def test_no_module_defines_a_command_that_is_not_listed() -> None:
    modules = {place.module for place in COMMANDS.values()}
    written = (Path(__file__).parents[3] / "pipeline").glob("cli_*.py")
    registering = {path.stem for path in written if "\ndef register(" in path.read_text("utf-8")}
    assert {f"pipeline.{name}" for name in registering} == modules
    assert {name for module in modules for name in load_commands(module)} == set(COMMANDS)
