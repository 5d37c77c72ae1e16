"""``quantsync doctor --contracts``: is the AKShare installed the one that we were written for."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from pipeline import output

if TYPE_CHECKING:
    from ingest.sources.contracts.differences import Difference

_REMEDY = (
    "make ingest/sources/eastmoney.py right for what was found, or pin AKShare to what was "
    "recorded; then record the contract anew with `make contracts` and review its diff"
)


def check_contracts(*, write: bool, as_json: bool) -> None:
    """Look at AKShare on loopback and compare; needs no home, no settings and no network.

    Args:
        write: Record what was found as the new contract, after the comparison.
        as_json: One JSON document on stdout.

    Raises:
        typer.Exit: 1: something differs, and was not recorded.
        QuantsyncError: AKShare cannot be imported.
    """
    # AKShare and the simulator take a second to import: only where they are looked at.
    from ingest.sources.contracts.differences import compare  # noqa: PLC0415
    from ingest.sources.contracts.kept import FILE, read_contract, write_contract  # noqa: PLC0415
    from ingest.sources.contracts.recording import record  # noqa: PLC0415

    found = record()
    recorded = read_contract() if FILE.exists() or not write else found
    differences = compare(recorded, found)
    if write:
        write_contract(found)
    names = list(
        dict.fromkeys(
            name
            for part in ("functions", "seams")
            for contract in (found, recorded)
            for name in contract[part]
        )
    )
    if as_json:
        rows = [asdict(difference) for difference in differences]
        versions = {"recorded": recorded["akshare"], "installed": found["akshare"]}
        held = {name: all(d.function != name for d in differences) for name in names}
        document: dict[str, Any] = {"ok": not differences, "akshare": versions, "holds": held}
        output.print_json(document | {"differences": rows, "written": write})
    else:
        _show(found, names, differences)
        if write:
            output.messages.print(f"recorded in {FILE}")
        elif differences:
            output.console.print(f"{'':<9}→ {output.plain(_REMEDY)}")
    if differences and not write:
        raise typer.Exit(1)


def _show(found: dict[str, Any], names: list[str], differences: "list[Difference]") -> None:
    for name in ["akshare", *names]:
        mine = [difference for difference in differences if difference.function == name]
        if not mine:
            output.console.print(f"[green]ok[/]       {name}: {_looked_at(found, name)}")
        for difference in mine:
            output.console.print(f"[red]differs[/]  {name}: {output.plain(difference.what)}")
            for label, said in (
                ("expected", difference.expected),
                ("found", difference.found),
                ("used by", difference.relied_on_by),
            ):
                output.console.print(f"{'':<9}{label:<9} {output.plain(said)}")


def _looked_at(found: dict[str, Any], name: str) -> str:
    if name == "akshare":
        return str(found["akshare"])
    if name in found["seams"]:
        return "is where we replace it"
    calls = found["functions"][name].get("calls")
    if not calls:
        return "signature (nothing calls it yet)"
    requests = sum(len(call["requests"]) for call in calls.values())
    return f"signature, {output.counted(len(calls), 'call')}, {output.counted(requests, 'request')}"
