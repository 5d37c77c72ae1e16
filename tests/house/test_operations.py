"""The runbook names what there is: commands, their options, units, settings."""

import re
import shlex
from pathlib import Path

from pipeline.commands import COMMANDS, load_commands
from pipeline.settings import Settings
from tests.fixtures.units import DEPLOY, ROOT, SERVICES, read_env_file

RUNBOOK = ROOT / "docs" / "operations.md"
UNITS = {*SERVICES, "quantsync.target"}


FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```$", flags=re.MULTILINE | re.DOTALL)


def code() -> list[str]:
    """Lines of console blocks that are typed, and what stands between backticks elsewhere."""
    text = RUNBOOK.read_text(encoding="utf-8")
    lines = [line.strip() for block in FENCED.findall(text) for line in block.splitlines()]
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    spans = re.findall(r"`([^`]+)`", FENCED.sub("", text))
    return typed + [" ".join(span.split()) for span in spans]


def commands() -> list[list[str]]:
    """Every `quantsync …` as its words, without what a shell does with it."""
    lines = [re.sub(r"\s+(?:#|\||>|&&|;).*", "", line) for line in code()]
    lines = [re.sub(r"^sudo (?:[A-Z_]+=\S+ )*", "", line) for line in lines]
    return [shlex.split(line)[1:] for line in lines if line.startswith("quantsync ")]


def test_every_command_of_the_runbook_exists() -> None:
    named = {words[0] for words in commands()}
    assert len(named) > 10
    assert sorted(named - set(COMMANDS)) == []


def test_every_option_of_the_runbook_exists() -> None:
    wrong = []
    for name, *words in commands():
        if name in COMMANDS:
            command = load_commands(COMMANDS[name].module)[name]
            inner = getattr(command, "commands", {})
            known = [command, *(inner[word] for word in words if word in inner)]
            options = {
                option
                for each in known
                for parameter in each.params
                for option in [*parameter.opts, *parameter.secondary_opts]
            }
            wrong += [(name, word) for word in words if word[0] == "-" and word not in options]
    assert wrong == []


def test_every_unit_of_the_runbook_exists() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    named = re.findall(r"\bquantsync(?:-[a-z]+)*(?:@\d*)?\.(?:service|target)\b", text)
    assert named
    assert {re.sub(r"@\d+", "@", name) for name in named} - UNITS == set()


def test_every_setting_of_the_runbook_exists() -> None:
    _, passwords = read_env_file(DEPLOY / "compose" / "passwords.example")
    known = {name.upper() for name in Settings.model_fields} | passwords
    words = {word for span in code() for word in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", span)}
    # What the reader puts in stands in capitals too.
    assert words - known - {"RUN_ID"} == set()


def test_every_file_that_the_runbook_takes_from_the_copy_exists() -> None:
    named = {word for span in code() for word in re.findall(r"(?<![\w/])deploy/[\w./@-]+", span)}
    assert named
    assert [name for name in sorted(named) if not (ROOT / Path(name)).exists()] == []
