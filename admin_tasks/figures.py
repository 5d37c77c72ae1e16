"""The pictures of a report, as SVG whose letters are outlines: they need no font to be seen.

Rising is red and falling green, as Chinese exchanges show it; signs say the same without colours.
Matplotlib is imported when a picture is drawn.
"""

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin_tasks.report_facts import BoardHeat, Chart, Freshness, Mover
from admin_tasks.report_fonts import ReportFont, is_plain
from admin_tasks.report_market import AVERAGES, BOARDS_SHOWN, CHART_SESSIONS
from admin_tasks.report_wording import DATASETS

UP, DOWN, FLAT = "#c4302b", "#1a8450", "#8a929b"
_INK, _SOFT, _GRID = "#22303c", "#5d6b78", "#e3e8ed"
_FULL, _NONE_DUE = "#3d7ea6", "#f1f4f6"
_AVERAGE_INKS = ("#2f6fab", "#d98a1f")
_WIDTH_IN = 7.08
_TILE_COLUMNS = 6
_HOTTEST = 0.04
"""A board that moved so much has the full colour."""
_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so pictures look the same everywhere
    "font.size": 7.5,
    "text.color": _INK,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": _GRID,
    "axes.linewidth": 0.8,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "svg.fonttype": "path",
    "svg.hashsalt": "quantsync",
    "text.parse_math": False,  # a dollar sign in a name is no formula
    "figure.facecolor": "white",
}


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes Chinese with the report's font, and the code where that lacks a character.

    Attributes:
        font: None: there is none, so all names are codes.
        path: The cut font's file while pictures are drawn.
    """

    font: ReportFont | None = None
    path: Path | None = None

    def name(self, code: str, name: str | None) -> str:
        """A name if it can be drawn, else the code."""
        return name if name and self.can_draw(name) else code

    def can_draw(self, text: str) -> bool:
        """Whether a text would be drawn without a box."""
        return is_plain(text) or (self.font is not None and self.font.shows(text))

    def style(self, text: str, size: float) -> dict[str, Any]:
        """Arguments for Matplotlib's text."""
        if is_plain(text) or self.path is None:
            return {"fontsize": size}
        from matplotlib.font_manager import FontProperties  # noqa: PLC0415

        return {"fontproperties": FontProperties(fname=self.path, size=size)}


@contextmanager
def pen_with(font: ReportFont | None) -> Iterator[Pen]:
    """A pen with the font in a file, as Matplotlib wants it, while pictures are drawn."""
    if font is None:
        yield Pen()
        return
    with tempfile.TemporaryDirectory(prefix="quantsync-font-") as folder:
        path = Path(folder) / "cut.ttf"
        path.write_bytes(font.truetype)
        yield Pen(font, path)


@contextmanager
def _figure(height_in: float) -> Iterator[tuple[Any, io.BytesIO]]:
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    picture = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        yield figure, picture
        figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": "quantsync"})


def draw_coverage(rows: Sequence[Freshness]) -> bytes:
    """For each dataset and period, which of the latest sessions are held, by shade."""
    from matplotlib.collections import PolyCollection  # noqa: PLC0415

    days = sorted({day for row in rows for day, _, _ in row.days})
    with _figure(0.62 + 0.27 * len(rows)) as (figure, picture):
        axes = figure.subplots()
        cells = [
            (_cell(days.index(day), line), _shade(held, due))
            for line, row in enumerate(rows)
            for day, held, due in row.days
        ]
        shapes, colours = zip(*cells, strict=True)
        axes.add_collection(PolyCollection(shapes, facecolors=colours, linewidths=0))
        axes.set_xlim(-0.05, len(days) + 0.05)
        axes.set_ylim(len(rows) + 0.02, -0.02)
        axes.set_yticks(
            [line + 0.5 for line in range(len(rows))],
            [f"{DATASETS[row.dataset]} {row.period.value}" for row in rows],
        )
        step = max(1, len(days) // 8)
        shown = range(len(days) - 1, -1, -step)
        axes.set_xticks([at + 0.5 for at in shown], [f"{days[at]:%m-%d}" for at in shown])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return picture.getvalue()


def _cell(at: int, line: int) -> list[tuple[float, float]]:
    left, right, top, bottom = at + 0.06, at + 0.94, line + 0.08, line + 0.92
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _shade(held: int, due: int) -> str | tuple[float, float, float]:
    if not due:
        return _NONE_DUE
    return _FULL if held == due else _between("#fbe3b5", UP, 1 - held / due)


def _between(light: str, full: str, share: float) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    share = min(max(share, 0.0), 1.0)
    first, last = to_rgb(light), to_rgb(full)
    red, green, blue = (a + (b - a) * share for a, b in zip(first, last, strict=True))
    return red, green, blue


def draw_movers(gainers: Sequence[Mover], losers: Sequence[Mover], pen: Pen) -> bytes:
    """The largest gains and losses side by side, on one scale."""
    lines = max(len(gainers), len(losers), 1)
    shown = (*gainers, *losers)
    # One that an unknown ex-right threw far off must not make all others look small.
    usual = [abs(m.change) for m in shown if not m.beyond_limit] or [abs(m.change) for m in shown]
    widest = max(usual, default=0.01)
    with _figure(0.4 + 0.205 * lines) as (figure, picture):
        panels = figure.subplots(1, 2)
        for axes, movers, colour, title in (
            (panels[0], gainers, UP, "Largest gains"),
            (panels[1], losers, DOWN, "Largest losses"),
        ):
            _draw_panel(axes, movers, colour, lines, widest, pen)
            axes.set_title(title, loc="left", fontsize=8.5, color=_INK, fontweight="bold")
    return picture.getvalue()


def _draw_panel(
    axes: Any, movers: Sequence[Mover], colour: str, lines: int, widest: float, pen: Pen
) -> None:
    lengths = [min(abs(mover.change), widest) for mover in movers]
    axes.barh(range(len(movers)), lengths, color=colour, height=0.62)
    for at, mover in enumerate(movers):
        axes.text(
            lengths[at] + widest * 0.02,
            at,
            f"{mover.change:+.2%}{'*' if mover.beyond_limit else ''}",
            va="center",
            fontsize=7.5,
        )
    axes.set_yticks(range(len(movers)), [""] * len(movers))
    for at, mover in enumerate(movers):
        said = pen.name(mover.symbol, mover.name)
        axes.text(
            -widest * 0.03, at, said, ha="right", va="center", color=_INK, **pen.style(said, 8)
        )
    axes.set_xlim(0, widest * 1.28)
    axes.set_ylim(lines - 0.4, -0.6)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.axvline(0, color=_SOFT, linewidth=0.8)


def draw_boards(boards: Sequence[BoardHeat], pen: Pen) -> bytes:
    """Tiles of the boards with the largest amounts, shaded by their change."""
    shown = boards[:BOARDS_SHOWN]
    lines = -(-len(shown) // _TILE_COLUMNS)
    with _figure(0.5 * lines + 0.05) as (figure, picture):
        axes = figure.subplots()
        for at, board in enumerate(shown):
            _draw_tile(axes, at % _TILE_COLUMNS, at // _TILE_COLUMNS, board, pen)
        axes.set_xlim(0, _TILE_COLUMNS)
        axes.set_ylim(lines, 0)
        axes.set_axis_off()
    return picture.getvalue()


def _draw_tile(axes: Any, column: int, line: int, board: BoardHeat, pen: Pen) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    heat = abs(board.change) / _HOTTEST
    colour = _between("#f3f1f0", UP if board.change > 0 else DOWN, heat)
    ink = "white" if heat > 0.6 else _INK  # noqa: PLR2004  (dark enough to read white on it)
    axes.add_patch(
        FancyBboxPatch(
            (column + 0.05, line + 0.09),
            0.9,
            0.82,
            boxstyle="round,pad=0,rounding_size=0.05",
            mutation_aspect=2,
            color=colour,
            linewidth=0,
        )
    )
    said = _shortened(pen.name(board.board, board.name))
    middle = column + 0.5
    axes.text(
        middle, line + 0.36, said, ha="center", va="center", color=ink, **pen.style(said, 8.5)
    )
    axes.text(
        middle,
        line + 0.68,
        f"{board.change:+.2%}",
        ha="center",
        va="center",
        color=ink,
        fontsize=7.5,
    )


def _shortened(text: str, wide: int = 16) -> str:
    """A text that fits a tile: a Chinese character is as wide as two Latin ones."""
    width = 0
    for at, character in enumerate(text):
        width += 1 if character < "\u2e80" else 2
        if width > wide:
            return f"{text[: at - 1]}…"
    return text


def draw_chart(chart: Chart) -> bytes:
    """Candlesticks with moving averages above their volumes. No bar is drawn for a day off."""
    from matplotlib.collections import LineCollection, PolyCollection  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    candles = chart.candles[-CHART_SESSIONS:]
    colours = [_candle_colour(c.open, c.close) for c in candles]
    with _figure(3.1) as (figure, picture):
        prices, volumes = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1), "hspace": 0.02}
        )
        wicks = [((at, c.low), (at, c.high)) for at, c in enumerate(candles)]
        prices.add_collection(LineCollection(wicks, colors=colours, linewidths=0.9))
        bodies = [_body(at, c.open, c.close) for at, c in enumerate(candles)]
        prices.add_collection(
            PolyCollection(bodies, facecolors=colours, edgecolors=colours, linewidths=0.6)
        )
        _draw_averages(prices, chart, len(candles))
        prices.autoscale_view()
        prices.set_ylabel("CNY")
        volumes.bar(range(len(candles)), [c.volume for c in candles], color=colours, width=0.66)
        volumes.set_ylabel("shares")
        volumes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short_number(value)))
        volumes.locator_params(axis="y", nbins=3)
        step = max(1, len(candles) // 8)
        ticks = range(len(candles) - 1, -1, -step)
        volumes.set_xticks(list(ticks), [f"{candles[at].session:%Y-%m-%d}" for at in ticks])
        volumes.set_xlim(-0.9, len(candles) - 0.1)
        for axes in (prices, volumes):
            axes.grid(axis="y", color=_GRID, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.yaxis.tick_right()
            axes.yaxis.set_label_position("right")
            axes.tick_params(length=0)
            axes.spines[["top", "left"]].set_visible(False)
    return picture.getvalue()


def _candle_colour(opened: float, closed: float) -> str:
    if closed > opened:
        return UP
    return DOWN if closed < opened else FLAT


def _body(at: int, opened: float, closed: float) -> list[tuple[float, float]]:
    return [(at - 0.33, opened), (at + 0.33, opened), (at + 0.33, closed), (at - 0.33, closed)]


def _draw_averages(axes: Any, chart: Chart, shown: int) -> None:
    closes = [candle.close for candle in chart.candles]
    first = len(closes) - shown
    for length, colour in zip(AVERAGES, _AVERAGE_INKS, strict=True):
        points = [
            (at - first, sum(closes[at + 1 - length : at + 1]) / length)
            for at in range(max(first, length - 1), len(closes))
        ]
        if points:
            places, means = zip(*points, strict=True)
            axes.plot(places, means, color=colour, linewidth=1.1, label=f"mean of {length}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", frameon=False, ncols=len(AVERAGES), fontsize=7)


def _short_number(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
