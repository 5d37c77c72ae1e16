"""The command line of the simulator: ``python -m ingest.simulator``."""

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar

from ingest.simulator import defaults
from ingest.simulator.faults import FAULTS, FaultBook, parse_fault
from ingest.simulator.market import Market
from market.clock import parse_instant
from market.errors import QuantsyncError

WRONG_USAGE = 2
_PR_SET_PDEATHSIG = 1
_EXAMPLES = f"""\
examples:
  PROGRAM --seed 7 --symbols 300
  PROGRAM --symbols 5500 --now 2025-12-31T10:32:00 --port 8765
  PROGRAM --replay recordings/
  PROGRAM --fault drop:probability=0.05 --fault latency:seconds=0.2,path=kline
  PROGRAM --fault ban:seconds=120 --log requests.jsonl
  PROGRAM --fault drop:host=eastmoney

while it runs, under /__simulator__/:
  GET health, market, clock, faults, log[?since=SEQ]
  PUT clock {{"now": "2025-12-31T10:32:00"}}   POST faults {{"name": "drop", "count": 3}}
  DELETE faults[?id=N], log

faults: {", ".join(FAULTS)}
any fault also takes: path, fs, host, secid, board, klt, fqt, pn, client, probability, count, skip
"""


def main(
    arguments: Sequence[str] | None = None, program: str = "python -m ingest.simulator"
) -> int:
    """Run the simulator until SIGTERM or SIGINT.

    Args:
        arguments: The command line's words; None: this process's.
        program: What was typed to get here, for the help.

    Returns:
        0 after a clean stop, 2 for wrong usage.
    """
    options = _parser(program).parse_args(arguments)
    if options.die_with_parent:
        _die_with_parent()
    try:
        return _serve(options)
    except QuantsyncError as error:
        return _refused(str(error))
    except OSError as error:
        if error.filename:
            return _refused(f"cannot use {error.filename}: {error.strerror}")
        return _refused(f"cannot listen on {options.host} port {options.port}: {error.strerror}")


def _serve(options: argparse.Namespace) -> int:
    # Imported here, so that --help and mistakes are answered at once.
    from ingest.simulator.server import SimulatorServer  # noqa: PLC0415

    if options.ready_file is not None:
        options.ready_file.unlink(
            missing_ok=True
        )  # an earlier run's URL must not be taken for ours
    for words in options.fault:
        FaultBook().add(words)  # a mistake is told before the market is made
    market = _market(options)
    now = market.default_now if options.now is None else options.now
    if isinstance(now, datetime):
        market.check(now)
    server = SimulatorServer(
        market,
        options.host,
        options.port,
        now=now if isinstance(now, datetime) else None,
        faults=options.fault,
        fault_seed=options.seed,
        log_file=options.log,
    )
    if now == "system":
        server.clock.set(None)
        market.check(server.clock.now())
    server.serve_forever(lambda url: _announce(url, options.ready_file))
    return 0


def _market(options: argparse.Namespace) -> Market:
    if options.replay is not None:
        from ingest.simulator.replay.market import ReplayMarket  # noqa: PLC0415

        return ReplayMarket(options.replay)
    from ingest.simulator.seeded.market import SeededMarket  # noqa: PLC0415

    return SeededMarket(options.seed, options.symbols, options.start)


def _announce(url: str, ready_file: Path | None) -> None:
    # On stderr: whoever started this may have promised one JSON document on stdout.
    sys.stderr.write(f"listening on {url}\n")
    sys.stderr.flush()
    if ready_file is not None:
        # Whoever waits for the file must never read half of it.
        unfinished = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        unfinished.write_text(f"{url}\n", encoding="utf-8")
        unfinished.replace(ready_file)


def _refused(why: str) -> int:
    sys.stderr.write(f"simulator: {why}\n")
    return WRONG_USAGE


def _die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the kernel was told
        os.kill(os.getpid(), signal.SIGTERM)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="A market on this machine: answers as Eastmoney, Sina and Tencent do, so that "
        "AKShare's own functions work against it.",
        epilog=_EXAMPLES.replace("PROGRAM", program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--seed",
        type=_seed,
        default=defaults.SEED,
        metavar="N",
        help="decides the market and the faults' random choices (default: %(default)s)",
    )
    add(
        "--symbols",
        type=int,
        default=defaults.SYMBOLS,
        metavar="N",
        help="number of symbols, 1 to 6000 (default: %(default)s)",
    )
    add(
        "--start",
        type=_day,
        default=date(2015, 1, 5),
        metavar="DATE",
        help="first day with bars (default: %(default)s)",
    )
    add(
        "--replay",
        type=Path,
        metavar="DIR",
        help="serve recorded CSV files instead of a seeded market",
    )
    add(
        "--now",
        type=_now,
        metavar="ISO|system",
        help="as of when to serve, Shanghai time unless an offset is given; 'system' follows the "
        "machine's clock (default: 2025-12-31T16:00:00, or 16:00 of the last day recorded)",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="port; 0 takes a free one (default: %(default)s)")
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME[:k=v,...]",
        help="a fault to begin with; may be given several times",
    )
    add("--log", type=Path, metavar="FILE", help="append each request as a line of JSON")
    add("--ready-file", type=Path, metavar="FILE", help="write the URL there once listening")
    add(
        "--die-with-parent",
        action="store_true",
        help="stop when the process that started this one ends (Linux)",
    )
    return parser


def _seed(text: str) -> int:
    return _checked(text, int, "a seed is a whole number")


def _day(text: str) -> date:
    return _checked(text, date.fromisoformat, "a day is written 2015-01-05")


def _now(text: str) -> datetime | str:
    if text == "system":
        return text
    return _checked(text, parse_instant, "an instant is written 2025-12-31T10:32:00, or 'system'")


def _port(text: str) -> int:
    port = _checked(text, int, "a port is a whole number")
    if not 0 <= port <= 65_535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {port}")
    return port


def _fault(text: str) -> dict[str, object]:
    try:
        return parse_fault(text)
    except QuantsyncError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_Value = TypeVar("_Value")


def _checked(text: str, read: Callable[[str], _Value], rule: str) -> _Value:
    try:
        return read(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: {rule}") from None
