"""``quantsync keys``: who may ask the web application."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from market.errors import UsageError
from pipeline import output
from pipeline.options import Json
from pipeline.quarantining import decider
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.api_keys import ApiKey, ApiKeys, Scope

app = typer.Typer(no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(app, name="keys", help="Who may ask the web application.")
    app.command("create", epilog="Example: quantsync keys create --scope read --name notebook")(
        _create
    )
    app.command("list", epilog="Example: quantsync keys list")(_list)
    app.command("revoke", epilog="Example: quantsync keys revoke 3f9a0c51d2e7")(_revoke)


def _create(
    scope: Annotated[
        str, typer.Option("--scope", help="read; or operate, which may start runs, too.")
    ],
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "unnamed",
    as_json: Json = False,
) -> None:
    """Make a key, and show it, this once."""
    if scope not in list(Scope):
        raise UsageError(f"--scope {scope!r}: use read or operate")
    made, text = _keys().create(name, Scope(scope), decider())
    if as_json:
        output.print_json({"key": text, **_document(made)})
        return
    output.console.print(text, soft_wrap=True, highlight=False)
    output.messages.print(
        f"key {made.key_id} ({made.scope}, {output.plain(made.name)}): it is not shown again; send "
        "it as `Authorization: Bearer …`"
    )


def _list(as_json: Json = False) -> None:
    """List the keys: scope, last use, and which were revoked."""
    keys = _keys().all()
    if as_json:
        output.print_json({"keys": [_document(key) for key in keys]})
        return
    if not keys:
        output.console.print("no keys yet: `quantsync keys create --scope read` makes one")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("id", "scope", "name", "made (Shanghai)", "by", "last used", "revoked"):
        table.add_column(column, no_wrap=column == "id")
    for key in keys:
        table.add_row(
            key.key_id,
            key.scope.value,
            output.plain(key.name),
            output.local_time(key.created_at),
            output.plain(key.created_by),
            output.local_time(key.last_used_at) if key.last_used_at else "never",
            output.local_time(key.revoked_at) if key.revoked_at else "",
        )
    output.console.print(table)


def _revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    as_json: Json = False,
) -> None:
    """Let a key open nothing any more; its sessions end within seconds."""
    done = _keys().revoke(key_id.strip().lower())
    if as_json:
        output.print_json({"key_id": key_id, "revoked": True, "was_revoked": not done})
        return
    output.console.print(f"key {key_id} is revoked" if done else f"key {key_id} was revoked before")


def _keys() -> ApiKeys:
    return ApiKeys(Runtime(read_settings()).database)


def _document(key: ApiKey) -> dict[str, object]:
    fields = asdict(key)
    del fields["secret_hash"]
    return fields
