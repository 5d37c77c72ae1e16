"""What every file of the project keeps to."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 450
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "managers"}

# Written in pieces, so that this file keeps to its own rules.
REGISTRY = re.compile("|".join(f"{name}[.]{end}" for name, end in [
    ("pypi", "org"), ("pypi", "python"), ("pythonhosted", "org"), ("npmjs", "org"),
    ("yarnpkg", "com"), ("docker", "io"), ("tuna.tsinghua", "edu"), ("mirrors", "aliyun"),
    ("mirrors.cloud", "tencent"), ("deb.debian", "org"),
]))  # fmt: skip
MACHINE_PATH = re.compile(
    r"(?<![\w}/.-])/(?:wo" + r"rk|ro" + r"ot)(?=[/\"'\s:)]|$)|\.\./sha" + "red"
)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def files() -> list[Path]:
    """What git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in found if path.is_file()]


def texts() -> list[tuple[str, str]]:
    """Name and text of each file; a byte that is no UTF-8 becomes a mark."""
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace"))
        for path in files()
    ]


def offending(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert offending(REGISTRY) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert offending(MACHINE_PATH) == []


def test_no_file_puts_work_off() -> None:
    assert offending(UNFINISHED) == []


def test_no_source_file_is_too_long_to_read() -> None:
    long = {
        name: count
        for name, text in texts()
        # Alembic writes migrations: they are as long as the tables.
        if name.endswith(".py")
        and "migrations" not in name
        and (count := len(text.splitlines())) > MAX_LINES
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [
        str(relative)
        for path in files()
        if VAGUE_NAMES & set((relative := path.relative_to(ROOT)).with_suffix("").parts)
    ]
    assert vague == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_no_address_and_has_a_hash_for_every_package(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    entries = re.findall(r"^[a-z0-9].*(?:\n    --hash=.*)*", text, flags=re.MULTILINE)
    assert len(entries) > 50
    unsafe = [e.splitlines()[0] for e in entries if "==" not in e or "--hash=sha256:" not in e]
    assert unsafe == []


def test_both_locks_agree_on_every_version() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9][^\\\n]*", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.lock") - pins("requirements-dev.lock") == set()
