"""Looks at the AKShare installed: its signatures, and what its functions ask, do and give.

Its functions are called as ours call them, over the wire, against the seeded market of the
simulator on loopback: nothing leaves the machine and nothing is written. What is found is plain
data, so that a file can hold it and a review can read it.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pandas as pd

from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from ingest.sources.contracts.calls import (
    ADAPTER,
    CALLS,
    CONCEPT_CACHE,
    PAUSES,
    PROGRESS,
    RESERVES,
    Call,
    Seam,
)
from ingest.sources.contracts.differences import MISSING
from ingest.sources.contracts.frames import Facts, frame_facts
from ingest.sources.contracts.replacing import replaced
from ingest.sources.contracts.served import served_rows, small_market, truth_of
from ingest.sources.contracts.signatures import signature_facts
from ingest.sources.contracts.traffic import observed_at
from market.errors import QuantsyncError


class NotRecordableError(QuantsyncError):
    """AKShare cannot even be imported."""


def record() -> dict[str, Any]:
    """Everything that a contract holds, of the AKShare installed.

    The wire of this process is replaced and then taken out: call it where nothing else fetches.

    Returns:
        ``akshare`` (its version), ``functions`` (by name: signature and calls) and ``seams``.

    Raises:
        NotRecordableError: AKShare cannot be imported.
    """
    try:
        akshare = importlib.import_module("akshare")
    except Exception as error:
        raise NotRecordableError(
            f"AKShare cannot be imported ({type(error).__name__}: {error})"
        ) from error
    market = small_market()
    names = dict.fromkeys([call.function for call in CALLS] + [r.function for r in RESERVES])
    with SimulatorServer(market) as server:
        functions = {name: _function(akshare, name, market, server) for name in names}
        return {"akshare": version("akshare"), "functions": functions, "seams": _seams(server)}


def _function(
    akshare: ModuleType, name: str, market: SeededMarket, server: SimulatorServer
) -> object:
    function = getattr(akshare, name, None)
    if function is None:
        return MISSING
    facts: Facts = {"signature": signature_facts(function)}
    calls = {c.name: _call(function, c, market, server) for c in CALLS if c.function == name}
    return facts | ({"calls": calls} if calls else {})


def _call(
    function: Callable[..., Any], call: Call, market: SeededMarket, server: SimulatorServer
) -> Facts:
    _forget_concepts()
    facts: Facts = {"arguments": dict(call.arguments)}
    seen = server.log.since(0)[-1].seq if server.log.since(0) else 0
    with _idle() as idle, observed_at(server.url) as traffic:
        result: object
        try:
            result = function(**call.arguments)
        except Exception as error:  # noqa: BLE001  (whatever it trips over is what is found)
            result = error
    facts["requests"] = traffic.facts()
    unseen = len(server.log.since(seen)) - len(traffic.urls)
    if traffic.strayed or unseen:
        hosts = ", ".join(dict.fromkeys(traffic.strayed))
        facts["past the wire"] = hosts or f"{unseen} requests"
    facts["pauses and progress bars"] = f"{idle.pauses}, {idle.bars}"
    if isinstance(result, pd.DataFrame):
        truth = truth_of(market, call)
        rows = served_rows(truth, call)
        facts |= frame_facts(result, call.key, call.columns, truth, rows)
    elif isinstance(result, Exception):
        facts["raises"] = f"{type(result).__name__}: {result}"
    else:
        facts["gives"] = type(result).__name__
    return facts


class _Idle:
    """Counts the pauses and progress bars that AKShare was kept from."""

    def __init__(self) -> None:
        self.pauses = 0
        self.bars = 0

    def sleep(self, _seconds: float) -> None:
        self.pauses += 1

    def get_tqdm(self) -> Callable[..., object]:
        self.bars += 1
        return lambda pages, **_options: pages


@contextmanager
def _idle() -> Iterator[_Idle]:
    idle = _Idle()
    with ExitStack() as stack:
        func = _module(PAUSES)
        if func is not None:
            pausing = SimpleNamespace(sleep=idle.sleep)
            stack.enter_context(replaced(func, PAUSES.name, pausing))
            stack.enter_context(replaced(func, PROGRESS.name, idle.get_tqdm))
        yield idle


def _seams(server: SimulatorServer) -> Facts:
    get_tqdm, adapter = _held(PROGRESS), _held(ADAPTER)
    pauses = _held(PAUSES)
    sleeps = callable(getattr(pauses, "sleep", None))
    return {
        str(PAUSES): "can sleep" if sleeps else MISSING if pauses is None else "cannot sleep",
        str(PROGRESS): MISSING if get_tqdm is None else {"signature": signature_facts(get_tqdm)},
        str(CONCEPT_CACHE): _concept_cache(server),
        str(ADAPTER): MISSING if adapter is None else {"signature": signature_facts(adapter)},
    }


def _concept_cache(server: SimulatorServer) -> object:
    """How many requests the list of concepts costs the first, the second and a later time."""
    cached = _held(CONCEPT_CACHE)
    if cached is None:
        return MISSING
    if not callable(getattr(cached, "cache_clear", None)):
        return "has no cache that could be cleared"

    def requests() -> int:
        with _idle(), observed_at(server.url) as traffic:
            cached()
        return len(traffic.urls)

    cached.cache_clear()
    first, second = requests(), requests()
    cached.cache_clear()
    return {"requests, again, and cleared": f"{first}, {second}, {requests()}"}


def _forget_concepts() -> None:
    clear = getattr(_held(CONCEPT_CACHE), "cache_clear", None)
    if callable(clear):
        clear()


def _module(seam: Seam) -> ModuleType | None:
    try:
        return importlib.import_module(seam.module)
    except ImportError:
        return None


def _held(seam: Seam) -> Any:
    held: object = _module(seam)
    for name in seam.name.split("."):
        held = getattr(held, name, None)
    return cast("Any", held)
