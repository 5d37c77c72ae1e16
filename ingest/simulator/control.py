"""The control endpoints under ``/__simulator__/``: never logged, never faulty."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from ingest.simulator.app import Simulation
from market.clock import parse_instant
from market.errors import UsageError

PREFIX = "/__simulator__/"
_Action = Callable[[web.BaseRequest], Awaitable[object]]


class ControlApp:
    """Reads and sets the simulation over HTTP.

    Args:
        simulation: What is read and set.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._actions: dict[tuple[str, str], _Action] = {
            ("GET", "health"): self._health,
            ("GET", "market"): self._market,
            ("GET", "clock"): self._clock,
            ("PUT", "clock"): self._set_clock,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._remove_faults,
            ("GET", "log"): self._log,
            ("DELETE", "log"): self._clear_log,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one control request with JSON; a mistake in it with status 400 and a sentence."""
        name = request.path.removeprefix(PREFIX).strip("/")
        action = self._actions.get((request.method, name))
        if action is None:
            known = ", ".join(f"{method} {what}" for method, what in self._actions)
            return _json({"error": f"no {request.method} {name!r} here: there are {known}"}, 404)
        try:
            return _json(await action(request))
        except (UsageError, ValueError) as error:
            return _json({"error": str(error)}, 400)

    async def _health(self, _: web.BaseRequest) -> object:
        return {"status": "ok"}

    async def _market(self, _: web.BaseRequest) -> object:
        now = self._simulation.clock.now()
        return {**self._simulation.market.describe(), "now": now.isoformat()}

    async def _clock(self, _: web.BaseRequest) -> object:
        clock = self._simulation.clock
        return {"now": clock.now().isoformat(), "ticking": clock.is_ticking}

    async def _set_clock(self, request: web.BaseRequest) -> object:
        words = await _words(request)
        text = words.get("now")
        if not isinstance(text, str):
            raise ValueError('the clock is set with {"now": "2025-12-31T10:32:00"} or "system"')  # noqa: TRY004
        ticking = words.get("ticking")
        if ticking is not None and not isinstance(ticking, bool):
            raise ValueError(f'"ticking" must be true or false, not {ticking!r}')
        now = None if text == "system" else parse_instant(text)
        if now is not None:
            self._simulation.market.check(now)
        self._simulation.clock.set(now, ticking=ticking)
        return await self._clock(request)

    async def _faults(self, _: web.BaseRequest) -> object:
        return {"faults": self._simulation.faults.as_json(time.monotonic())}

    async def _add_fault(self, request: web.BaseRequest) -> object:
        words = await _words(request)
        return self._simulation.faults.add(words).as_json()

    async def _remove_faults(self, request: web.BaseRequest) -> object:
        if (wanted := request.query.get("id")) is None:
            self._simulation.faults.clear()
        elif not self._simulation.faults.remove(int(wanted)):
            raise ValueError(f"there is no fault {wanted}")
        return await self._faults(request)

    async def _log(self, request: web.BaseRequest) -> object:
        entries = self._simulation.log.since(int(request.query.get("since", "0")))
        return {"requests": [asdict(entry) for entry in entries]}

    async def _clear_log(self, _: web.BaseRequest) -> object:
        self._simulation.log.clear()
        return {"requests": []}


async def _words(request: web.BaseRequest) -> dict[str, Any]:
    words = json.loads(await request.text() or "{}")
    if not isinstance(words, dict):
        raise ValueError("a JSON object is expected")  # noqa: TRY004  (answered with 400)
    return words


def _json(content: object, status: int = 200) -> web.Response:
    text = json.dumps(content, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json")
