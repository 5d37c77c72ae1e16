"""deploy/install.sh, run for real below a folder of its own."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.fixtures.units import DEPLOY, ROOT, install, read_env_file

SETTINGS = "etc/quantsync/quantsync.env"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None,
    reason="systemd-sysusers is missing: install the package systemd",
)
pytestmark = [pytest.mark.services, needs_systemd]


def whole_copy(folder: Path) -> Path:
    """All that the installer reads."""
    packages = ["market", "ingest", "storage", "scheduling", "admin_tasks", "pipeline", "web"]
    for name in ["deploy", "docs", *packages]:
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in ("pyproject.toml", "requirements.lock", ".env.example"):
        shutil.copy(ROOT / name, folder)
    return folder


def contents(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything below a folder: when it was changed, its mode, its group, and what it holds."""
    return {
        str(path.relative_to(root)): (
            (about := path.lstat()).st_mtime_ns,
            about.st_mode,
            about.st_gid,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder to install below."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_a_second_run_changes_nothing_and_says_so(root: Path) -> None:
    first = install("--root", root, "--without-venv")
    before = contents(root)

    second = install("--root", root, "--without-venv")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "nothing to change" in second.stdout
    assert "nothing to change" not in first.stdout
    assert contents(root) == before


def test_a_dry_run_names_every_file_and_writes_none(root: Path) -> None:
    planned = install("--root", root, "--without-venv", "--dry-run")
    assert contents(root) == {}

    done = install("--root", root, "--without-venv")

    wanted = {line.removeprefix("would ") for line in planned.stdout.splitlines()[:-1]}
    assert wanted >= {line for line in done.stdout.splitlines() if line.startswith("install /")}
    again = install("--root", root, "--without-venv", "--dry-run")
    assert "nothing to change" in again.stdout


def test_settings_are_closed_to_others_and_never_overwritten(root: Path) -> None:
    install("--root", root, "--without-venv")
    settings = root / SETTINGS
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640
    assert stat.S_IMODE(settings.parent.stat().st_mode) == 0o750
    settings.write_text("FLOWER_BASIC_AUTH=mine:secret\n")

    again = install("--root", root, "--without-venv")

    assert settings.read_text() == "FLOWER_BASIC_AUTH=mine:secret\n"
    assert f"keep /{SETTINGS} as it is" in again.stdout


def test_a_unit_that_was_changed_by_hand_is_put_right(root: Path) -> None:
    install("--root", root, "--without-venv")
    unit = root / "etc/systemd/system/quantsync-beat.service"
    shipped = unit.read_text()
    unit.write_text("[Service]\n")

    again = install("--root", root, "--without-venv")

    assert unit.read_text() == shipped
    changed = [line for line in again.stdout.splitlines() if line.startswith("install ")]
    assert changed == ["install /etc/systemd/system/quantsync-beat.service"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make users")
def test_the_user_is_made_once_and_owns_the_data(root: Path) -> None:
    for _ in range(2):
        install("--root", root, "--without-venv")
    (line,) = (root / "etc/passwd").read_text().splitlines()
    name, _, number, group, _, home, shell = line.split(":")
    assert (name, home, shell) == ("quantsync", "/var/lib/quantsync", "/usr/sbin/nologin")
    data, settings = (root / "var/lib/quantsync").stat(), (root / SETTINGS).stat()
    assert (data.st_uid, data.st_gid, stat.S_IMODE(data.st_mode)) == (
        int(number),
        int(group),
        0o750,
    )
    assert (settings.st_uid, settings.st_gid) == (0, int(group))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_who_is_not_root_may_stage_but_not_install() -> None:
    # Not below pytest's own folder, which is closed to others.
    with tempfile.TemporaryDirectory(prefix="quantsync-staged-") as folder:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        copied = whole_copy(Path(folder) / "copy")
        refused = install(user="nobody", source=copied)
        (root := Path(folder) / "root").mkdir()
        os.chown(root, pwd.getpwnam("nobody").pw_uid, -1)
        staged = install("--root", root, "--without-venv", user="nobody", source=copied)
        left_out = (root / "etc/passwd").exists()
    assert refused.returncode == 2
    assert "run it as root" in refused.stderr
    assert (staged.returncode, left_out) == (0, False), staged.stderr
    assert "leave out the user quantsync" in staged.stdout


def test_another_prefix_stands_in_every_file_that_names_the_program(root: Path) -> None:
    install("--root", root, "--without-venv", "--prefix", "/srv/quantsync")
    placed = [path for path in root.rglob("*") if path.is_file() and os.access(path, os.R_OK)]
    assert [str(path) for path in placed if b"/opt/quantsync" in path.read_bytes()] == []
    worker = (root / "etc/systemd/system/quantsync-worker.service").read_text()
    assert "ExecStart=/srv/quantsync/current/bin/celery " in worker


def test_the_runbook_removes_every_file_that_was_installed_but_data(root: Path) -> None:
    install("--root", root, "--without-venv")
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("$ sudo rm -r /etc")]
    removed = line.split()[4:]
    kept = ("/var/", "/etc/quantsync/", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
    files = [f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()]
    files = [file for file in files if not file.startswith((*kept, "/etc/.pwd.lock"))]
    assert files
    assert [f for f in files if not any(fnmatch(f, pattern) for pattern in removed)] == []
    assert "/opt/quantsync" in removed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--nonsense"], "--nonsense is no option"),
        (["--root"], "--root needs a value"),
        (["--root", "missing"], "--root missing is no folder"),
        (["--prefix", "opt"], "--prefix opt: give an absolute path"),
        (["--prefix", "/opt/a b"], "give a plain absolute path"),
        (["--wheels", "missing", "--dry-run"], "--wheels missing is no folder"),
        (["--python", "no-such-python", "--dry-run"], "no-such-python is missing"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_done(options: list[str], said: str) -> None:
    done = install(*options)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert done.stdout == ""


def test_a_copy_that_lacks_a_part_is_refused(root: Path, tmp_path: Path) -> None:
    copy = whole_copy(tmp_path / "copy")
    (copy / "requirements.lock").unlink()
    done = install("--root", root, source=copy)
    assert done.returncode == 1
    assert "is no whole copy of quantsync: requirements.lock is missing" in done.stderr
    assert contents(root) == {}


def test_other_sources_are_another_release(root: Path, tmp_path: Path) -> None:
    """So an upgrade leaves the release before it whole, to go back to."""
    copy = whole_copy(tmp_path / "copy")

    def planned() -> str:
        done = install("--root", root, "--dry-run", "--python", sys.executable, source=copy)
        (line,) = [line for line in done.stdout.splitlines() if "install release" in line]
        return line.split()[3]

    first, same = planned(), planned()
    (copy / "market" / "added.py").write_text("ADDED = 1\n")
    other = planned()

    assert first == same != other
    assert first.startswith("0.1.0-")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("QUANTSYNC_HOME=/elsewhere\nEGRESS_ID=east", "east"),
        ('EGRESS_ID="east 1"', "east 1"),
        ("EGRESS_ID=a$HOME`id`;#", "a$HOME`id`;#"),
        ("EGRESS_ID=a=b", "a=b"),
        ("# EGRESS_ID=none\n\nEGRESS_ID=last", "last"),
    ],
)
def test_the_command_sees_the_settings_of_the_services(
    line: str, value: str, tmp_path: Path
) -> None:
    """The wrapper, with a program in the place of quantsync that shows what it was given."""
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nprintf "%s" "$EGRESS_ID" "|" "$1"\n')
    program.chmod(0o755)
    (tmp_path / "settings").write_text(f"{line}\n")
    text = (DEPLOY / "bin" / "quantsync").read_text()
    wrapper = tmp_path / "wrapper"
    changes = {
        "/opt/quantsync/current/bin/quantsync": str(program),
        "runuser -u quantsync --": "",
        "HOME=/var/lib/quantsync": f"HOME={tmp_path}",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    wrapper.write_text(text)
    environment = {"PATH": os.environ["PATH"], "QUANTSYNC_ENV_FILE": str(tmp_path / "settings")}
    done = subprocess.run(
        ["sh", str(wrapper), "a word"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"{value}|a word", "", 0)


def test_settings_of_the_installer_are_what_the_command_is_made_for() -> None:
    text = (DEPLOY / "bin" / "quantsync").read_text()
    given, _ = read_env_file(DEPLOY / "quantsync.env")
    assert f"HOME={given['QUANTSYNC_HOME']} " in text
    assert f"/{SETTINGS}" in text


def test_the_command_without_settings_says_what_to_do(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "QUANTSYNC_ENV_FILE": str(tmp_path / "none")}
    command = [str(DEPLOY / "bin" / "quantsync"), "status"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(tmp_path / "none") in done.stderr


@pytest.mark.lengthy
@pytest.mark.timeout(1200)
def test_a_whole_installation_runs_from_its_own_python(root: Path) -> None:
    """With every package of the lock, by its hash, and nothing of this working copy."""
    done = install("--root", root, "--python", sys.executable)
    if "NewConnectionError" in done.stderr or "NameResolutionError" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    again = install("--root", root, "--python", sys.executable)
    assert "nothing to change" in again.stdout

    current = root / "opt/quantsync/current"
    code = "import pipeline, storage.migrations; print(pipeline.__file__)"
    environment = {"PATH": os.environ["PATH"], "HOME": str(root)}
    ran = subprocess.run(
        [current / "bin/python", "-c", code],
        env=environment, cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(ran.stdout).is_relative_to(current)
    shebang = (current / "bin/quantsync").read_text().splitlines()[0]
    assert shebang.startswith("#!/opt/quantsync/releases/0.1.0-")
    for words in (
        ["-m", "pipeline.cli", "status"],
        ["-m", "celery", "-A", "pipeline.app", "report"],
    ):
        ran = subprocess.run(
            [current / "bin/python", *words],
            env=environment, cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
    given, _ = read_env_file(current / "share" / "env.example")
    assert "QUANTSYNC_HOME" in given
