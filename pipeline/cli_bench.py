"""``quantsync bench``: measure, hold each figure against another, keep the pages."""

import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from market.errors import UsageError
from pipeline import output
from pipeline.bench import pages
from pipeline.bench.figures import Section
from pipeline.bench.machine import machine, now, versions
from pipeline.bench.sections import SECTIONS, Bench, measure
from pipeline.options import Json

_SEED = 20260105


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("bench")(bench)


def bench(
    sections: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SECTION]...", help=f"Of {', '.join(SECTIONS)}; default: all."),
    ] = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes: shows that it works, measures nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = _SEED,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep the results there: benchmarks.json, benchmarks.md, plots."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where a target is missed.")
    ] = False,
    render: Annotated[
        bool, typer.Option("--render", help="Measure nothing: write the pages of --keep anew.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure what quantsync costs here; every figure beside what it is held against.

    Starts what it needs on loopback, in a folder that is removed afterwards: the home and the
    stores of this installation are not touched. All of it takes about half an hour.

    Examples: `quantsync bench storage` · `quantsync bench --quick` ·
    `quantsync bench queues chords --keep docs`
    """
    if keep is not None and not keep.is_dir():
        raise UsageError(f"--keep {keep} is no folder: make it first", {"path": str(keep)})
    if render:
        if keep is None:
            raise UsageError("--render writes the pages of --keep FOLDER: name the folder")
        pages.write_pages(keep)
        return
    names = _known(sections)
    run: dict[str, Any] = {
        "at": now(), "seed": seed, "quick": quick, "machine": machine(), "versions": versions(),
        "sections": {},
    }  # fmt: skip
    missed = False
    for name in names:
        section, seconds = _measured(name, quick=quick, seed=seed)
        run["sections"][name] = {**section.document(), "seconds": round(seconds, 1)}
        missed |= any(each.met is False for each in section.figures)
        if not as_json:
            _show(name, section, seconds)
    if as_json:
        output.print_json(run)
    if keep is not None:
        pages.keep(keep, run)
    if strict and missed:
        raise typer.Exit(1)


def _known(asked: list[str] | None) -> list[str]:
    for name in asked or ():
        if name not in SECTIONS:
            raise UsageError(
                f"there is no benchmark {name!r}: choose of {', '.join(SECTIONS)}",
                {"section": name},
            )
    return list(dict.fromkeys(asked or SECTIONS))


def _measured(name: str, *, quick: bool, seed: int) -> tuple[Section, float]:
    random.seed(seed)
    folder = Path(tempfile.mkdtemp(prefix="quantsync-bench-"))
    began = time.monotonic()
    try:
        with output.messages.status(f"{name} …") as status:
            section = measure(
                name, Bench(folder, seed, quick, lambda says: status.update(f"{name}: {says} …"))
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return section, time.monotonic() - began


def _show(name: str, section: Section, seconds: float) -> None:
    table = Table(title=f"{name}: {section.title}", title_justify="left", box=None)
    for column in ("what", "value", "held against", "its value", "ratio", "target", "met"):
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    for each in section.figures:
        table.add_row(
            output.plain(each.name),
            f"{pages.number(each.value)} {each.unit}",
            output.plain(each.against),
            f"{pages.number(each.reference)} {each.unit}",
            pages.number(each.ratio),
            str(each.target or "–"),
            {None: "–", True: "[green]yes[/]", False: "[red]no[/]"}[each.met],
        )
    output.console.print(table)
    for lacking in section.missing:
        output.console.print(f"  not measured: {output.plain(lacking)}")
    output.console.print(f"  {output.plain(section.says)} {seconds:.0f} s in all.\n")


_NUMBERS = {"value", "its value", "ratio"}
