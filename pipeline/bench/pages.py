"""``docs/benchmarks.md`` and its plots, written from what is kept."""

import json
from pathlib import Path
from typing import Any

from market.errors import UsageError
from pipeline.bench.sections import SECTIONS

KEPT, PAGE, IMAGES = "benchmarks.json", "benchmarks.md", "images"
Document = dict[str, Any]
_LARGE, _SMALL = 100, 10


def kept(folder: Path) -> Document:
    """What is kept in a folder, by section.

    Raises:
        UsageError: Something is there that is not such a document.
    """
    path = folder / KEPT
    if not path.exists():
        return {}
    try:
        document: Document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} is not what a benchmark kept ({error}): remove it, or name another folder",
            {"path": str(path)},
        ) from error
    return document


def keep(folder: Path, run: Document) -> None:
    """Put the sections of a run in the place of those kept before, and write the pages anew.

    Raises:
        UsageError: It holds something else under the name.
    """
    held = kept(folder)
    about = {key: value for key, value in run.items() if key != "sections"}
    held |= {name: {**section, "run": about} for name, section in run["sections"].items()}
    ordered = {name: held[name] for name in SECTIONS if name in held}
    text = json.dumps(ordered, ensure_ascii=False, indent=1) + "\n"
    (folder / KEPT).write_text(text)
    write_pages(folder)


def write_pages(folder: Path) -> None:
    """Write the page and its plots from what is kept.

    Raises:
        UsageError: Nothing is, or something else is there.
    """
    from pipeline.bench.plots import draw  # noqa: PLC0415 - Matplotlib takes half a second

    held = kept(folder)
    if not held:
        raise UsageError(
            f"{folder} keeps no results: `quantsync bench --keep {folder}` measures them",
            {"path": str(folder)},
        )
    lines = [
        "# Benchmarks",
        "",
        "Written by `quantsync bench --keep docs`: change nothing here by hand. Every figure",
        "stands beside what it is held against, measured in the same run. What bounds those",
        "that miss their target: [performance.md](performance.md).",
    ]
    for name, section in held.items():
        lines += _section(name, section, draw(name, section["data"], folder / IMAGES))
    (folder / PAGE).write_text("\n".join(lines) + "\n")


def _section(name: str, section: Document, images: dict[str, str]) -> list[str]:
    run = section["run"]
    host, packages = run["machine"], run["versions"]
    lines = ["", f"## {section['title']}", "", section["says"], ""]
    lines += [
        "| what | value | held against | its value | ratio | target | met |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['name']} | {number(each['value'])} {each['unit']} | {each['against']} | "
        f"{number(each['reference'])} {each['unit']} | {number(each['ratio'])} | "
        f"{each['target'] or '–'} | {verdict(each['met'])} |"
        for each in section["figures"]
    ]
    notes = [f"- {each['name']}: {each['note']}" for each in section["figures"] if each["note"]]
    notes += [f"- Not measured: {each}" for each in section["missing"]]
    lines += ["", *notes] if notes else []
    for caption, file in images.items():
        lines += ["", f"![{caption}]({IMAGES}/{file})"]
    stated = ", ".join(f"{key} {packages[key]}" for key in packages if key != "quantsync")
    command = f"quantsync bench {name} --seed {run['seed']}{' --quick' if run['quick'] else ''}"
    ran_on = (
        f"{run['at']}, {section['seconds']:.0f} s; {host['cpus']} CPUs ({host['processor']}), "
        f"{host['memory_gib']:g} GiB, {host['system']}, load {host['load_before']} before"
    )
    return [*lines, "", f"`{command}`, {ran_on}; {stated}."]


def verdict(met: bool | None) -> str:  # noqa: FBT001 - it is the one thing asked about
    """Whether a target was reached, as tables say it."""
    return "–" if met is None else ("yes" if met else "**no**")


def number(value: float) -> str:
    """Three digits that mean something."""
    size = abs(value)
    if size >= _LARGE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= _SMALL else f"{value:.2f}" if size >= 1 else f"{value:.3g}"
