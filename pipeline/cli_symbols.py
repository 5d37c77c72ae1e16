"""``quantsync symbols``: who a symbol is, under every code and name it has borne."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from market.clock import SystemClock
from market.errors import UsageError
from market.symbols import parse_stock
from pipeline import output
from pipeline.kline_query import NothingHeldError
from pipeline.options import Json
from pipeline.recoding import recode
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.identity import Identity, decide, read_identity, read_proposals


def register(root: typer.Typer) -> None:
    """Add ``symbols`` to the root command."""
    root.command("symbols", epilog="Example: quantsync symbols 836077")(_symbols)


def _symbols(
    code: Annotated[
        str | None, typer.Argument(help="A symbol by any code; default: all that are known.")
    ] = None,
    became: Annotated[
        str | None,
        typer.Option("--became", metavar="CODE", help="Make CODE and this symbol one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a symbol's id, codes and names with their dates, and when it was listed and delisted.

    Without a code: all symbols, and renumberings that wait for --became.
    """
    runtime = Runtime(read_settings())
    if code is None:
        if became is not None:
            raise UsageError("--became needs the code it was before: symbols OLD --became NEW")
        _show_all(runtime, as_json=as_json)
        return
    symbol = str(parse_stock(code))
    if became is not None:
        _decide(runtime, symbol, str(parse_stock(became)))
    found = read_identity(runtime.database, symbol)
    if found is None:
        raise NothingHeldError(
            f"no symbol {symbol} is known: `quantsync symbols` lists those that are, "
            "`quantsync sync stocks` fetches the list",
            {"symbol": symbol},
        )
    if as_json:
        output.print_json(_document(found))
    else:
        _show(found)


def _decide(runtime: Runtime, old: str, new: str) -> None:
    proposed = {(each.old_code, each.new_code): each for each in read_proposals(runtime.database)}
    found = proposed.get((old, new))
    session = (
        found.session
        if found
        else runtime.calendar.latest_settled(SystemClock().now(), runtime.settings.settled_at)
    )
    decide(runtime.database, old, new, session)
    recode(runtime)


def _show_all(runtime: Runtime, *, as_json: bool) -> None:
    rows = runtime.catalog.symbols(listed_only=False)
    waiting = read_proposals(runtime.database)
    if as_json:
        symbols = [{"symbol": row.symbol, "name": row.name, "listed": row.listed} for row in rows]
        output.print_json({"symbols": symbols, "proposals": [asdict(each) for each in waiting]})
        return
    if not rows:
        raise NothingHeldError("no symbols are known: `quantsync sync stocks` fetches the list")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("symbol", "name", "listed"):
        table.add_column(name)
    for row in rows:
        table.add_row(row.symbol, row.name, "yes" if row.listed else "no")
    output.console.print(table)
    for each in waiting:
        output.messages.print(
            f"{each.old_code} may now be {each.new_code}: {each.reason}; "
            f"`quantsync symbols {each.old_code} --became {each.new_code}` makes them one"
        )


def _document(found: Identity) -> dict[str, Any]:
    return {
        "id": found.number,
        "symbol": found.symbol,
        "codes": [
            {"code": each.code, "from": each.valid_from, "to": each.valid_to}
            for each in found.codes
        ],
        "names": [{"name": name, "from": since} for name, since in found.names],
        "listed": found.listed,
        "first_seen": found.first_seen,
        "listed_on": found.listed_on,
        "delisted_on": found.delisted_on,
    }


def _show(found: Identity) -> None:
    state = "listed" if found.listed else "on no list"
    if found.delisted_on is not None:
        state = f"no longer listed since {found.delisted_on}"
    output.console.print(f"{found.symbol}  id {found.number}, {state}")
    if found.listed_on is not None:
        output.console.print(f"listed  on {found.listed_on}")
    elif found.first_seen is not None:
        output.console.print(f"listed  on or before {found.first_seen}, the first list seen")
    for code in found.codes:
        until = f" until before {code.valid_to}" if code.valid_to else ""
        since = f" from {code.valid_from}" if code.valid_from else ""
        output.console.print(f"code    {code.code}{since}{until}")
    for name, seen in found.names:
        output.console.print(f"name    {output.plain(name)} from {seen}")
