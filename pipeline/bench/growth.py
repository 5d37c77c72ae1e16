"""How time, memory and requests grow with the number of symbols, by the same path."""

import math
import statistics
from collections.abc import Sequence

from pipeline.bench.figures import Figure, Section, Target
from pipeline.bench.market_days import daily_window, wanted
from pipeline.bench.market_stack import Ran, market_stack
from pipeline.bench.pipeline import checked
from pipeline.bench.rendered import served
from pipeline.bench.sections import Bench

SIZES, QUICK_SIZES = (500, 1_000, 2_000, 5_500), (10, 30)
AT_MOST = 1.05


def measure(bench: Bench) -> Section:
    """Run markets of several sizes, each through a fresh home, Redis and worker.

    Raises:
        QuantsyncError: Something did not start, or a run did not end well.
    """
    sizes, sessions = (QUICK_SIZES if bench.quick else SIZES), bench.size(250, 40)
    ran = {size: _run(bench, size, sessions) for size in sizes}
    curves = {
        "seconds": [each.seconds for each in ran.values()],
        "MiB": [each.worker.peak_mib for each in ran.values()],
        "requests": [float(each.status.requests) for each in ran.values()],
    }
    exponents = {name: exponent(sizes, measured) for name, measured in curves.items()}
    section = Section(
        title="Growth",
        says=(
            f"A sync of {sessions} daily bars of {', '.join(f'{n:,}' for n in sizes)} symbols, as "
            f"in Whole pipeline, each in a fresh home with a fresh worker. The exponent is the "
            f"slope of a line fitted to the logarithms by least squares: 1 is in proportion."
        ),
    )
    names = {"seconds": "time", "MiB": "peak memory of the worker", "requests": "requests"}
    for name, measured in curves.items():
        told = ", ".join(f"{value:,.1f}" for value in measured)
        section.figures.append(
            Figure(
                names[name],
                exponents[name],
                "exponent",
                "in proportion",
                1.0,
                Target(AT_MOST, "at most", of="value"),
                f"{name}: {told}",
            )
        )
    section.data["growth"] = {
        "symbols": list(sizes),
        "curves": {name: [round(v, 2) for v in each] for name, each in curves.items()},
        "exponents": {name: round(each, 3) for name, each in exponents.items()},
    }
    return section


def exponent(sizes: Sequence[int], measured: Sequence[float]) -> float:
    """The power of the size with which a quantity grows: the slope of its logarithms.

    Args:
        sizes: At least two different ones.
        measured: The quantity at each; above 0.
    """
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(value) for value in measured]
    ).slope


def _run(bench: Bench, symbols: int, sessions: int) -> Ran:
    bench.say(f"{symbols:,} symbols")
    window = daily_window(sessions)
    # Short names: the kernel allows 107 bytes for the path of Redis' socket.
    with (
        served(wanted(symbols, window, bench.seed)) as upstream,
        market_stack(bench.folder / f"g{symbols}", upstream.url) as stack,
    ):
        words = ("sync", "stocks", "--from", str(window.start), "--to", str(window.end))
        return checked(stack.command(*words))
