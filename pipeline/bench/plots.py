"""The plots of the pages."""

from pathlib import Path
from typing import Any

from pipeline.bench.pages import number


def draw(section: str, data: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draw what a section has data for.

    Args:
        section: Its name; it begins each file's name.
        data: By the plot's name, as the section holds it: ``growth``, ``cpu_by_stage``.
        folder: Where the PNG files go; made where it lacks.

    Returns:
        The file names by caption, in the order of the data.
    """
    images = {}
    for name, values in data.items():
        if name not in _DRAWN:
            continue
        caption, drawing = _DRAWN[name]
        folder.mkdir(parents=True, exist_ok=True)
        file = f"bench-{section}-{name.replace('_', '-')}.png"
        drawing(values, folder / file)
        images[caption] = file
    return images


def _growth(values: dict[str, Any], file: Path) -> None:
    """``{"symbols": [...], "curves": {"seconds": [...], ...}, "exponents": {...}}``."""
    figure, axes = _figure(len(values["curves"]))
    for axis, (name, measured) in zip(axes, values["curves"].items(), strict=True):
        sizes = values["symbols"]
        axis.loglog(sizes, measured, "o-", color="#1f6feb")
        linear = [measured[0] * size / sizes[0] for size in sizes]
        axis.loglog(sizes, linear, "--", color="#8b949e", label="in proportion")
        for size, value in zip(sizes, measured, strict=True):
            axis.annotate(number(value), (size, value), (5, -13), textcoords="offset points")
        axis.set_title(f"{name}: exponent {values['exponents'][name]:.2f}")
        axis.set_xlabel("symbols")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.set_yticks([])
        axis.minorticks_off()
        axis.margins(x=0.15, y=0.15)
        axis.legend(frameon=False, loc="upper left")
    _save(figure, file)


def _stages(values: dict[str, float], file: Path) -> None:
    """``{"fetch": CPU seconds, ...}``."""
    figure, (axis,) = _figure(1)
    names = list(values)[::-1]
    bars = axis.barh(names, [values[name] for name in names], color="#1f6feb")
    axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.set_xlabel("CPU seconds")
    axis.margins(x=0.12)
    _save(figure, file)


_DRAWN = {
    "growth": ("Growth with the number of symbols", _growth),
    "cpu_by_stage": ("CPU seconds by stage", _stages),
}


def _figure(count: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415 - without pyplot: no display, no state

    figure = Figure(figsize=(4.2 * max(count, 2), 3.6), layout="constrained", dpi=110)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Software": None})
