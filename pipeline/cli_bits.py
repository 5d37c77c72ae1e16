"""What ``quantsync verify --bits`` does: the lake's files against their manifest."""

from dataclasses import asdict

import typer

from pipeline import output
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.bits import BitCheck, FileCheck, FileState
from storage.minute_retention import sql_minutes_from

_STYLES = {FileState.ENTERED: "green", FileState.BUSY: "yellow"}


def verify_bits(*, repair: bool, as_json: bool) -> None:
    """Check every file, and rebuild what has rotted if asked to; exit code 1 if any is wrong."""
    runtime = Runtime(read_settings())
    checking = BitCheck(
        runtime.lake,
        runtime.database,
        runtime.lake_manifest,
        minutes_from=sql_minutes_from(runtime.database),
    )
    checks = checking.check()
    repairs = []
    if repair:
        lost = [check for check in checks if check.state in (FileState.ROTTEN, FileState.GONE)]
        repairs = [{"path": check.path, "did": checking.repair(check)} for check in lost]
        checks = checking.check() if repairs else checks
    wrong = [check for check in checks if not check.state.is_good]
    if as_json:
        document = {
            "sound": not wrong,
            "files": len(checks),
            "bytes": sum(check.size for check in checks),
            "checks": [asdict(check) for check in checks],
        }
        output.print_json({**document, **({"repairs": repairs} if repair else {})})
    else:
        for each in repairs:
            output.console.print(f"[green]repaired[/]  {each['path']}: {each['did']}")
        _print(checks)
    if wrong:
        raise typer.Exit(1)


def _print(checks: list[FileCheck]) -> None:
    for check in checks:
        if check.says is None:
            continue
        style = _STYLES.get(check.state, "red")
        output.console.print(
            f"[{style}]{check.state.value:<8}[/]  {check.path}: {output.plain(check.says)}"
        )
        if check.remedy:
            output.console.print(f"          → {output.plain(check.remedy)}")
    if not checks:
        output.console.print("the lake holds no file yet")
    elif all(check.state.is_good for check in checks):
        size = sum(check.size for check in checks)
        output.console.print(
            f"[green]sound[/]: {output.counted(len(checks), 'file')}, {size:,} bytes, as written"
        )
