"""What was asked and how it was answered: cheap, bounded, in memory and optionally in a file."""

import json
import threading
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

KEPT = 500_000


@dataclass(slots=True)
class LogEntry:
    """One request.

    Attributes:
        seq: 1, 2, 3 … by arrival.
        at: Monotonic seconds of arrival, of the simulator's process.
        wall: Unix seconds of arrival.
        client: Address of the peer.
        method: GET, as a rule.
        host: The Host header: which server the client believed to ask.
        domain: The upstream that is: ``eastmoney``, ``sina`` or ``tencent``.
        path: Without the query.
        query: Those of the parameters that say what was asked for.
        status: HTTP status; 0 if the connection was closed instead, -1 while in progress.
        outcome: The names of the faults met, joined by ``+``; else ``ok``, ``no_data``,
            ``not_found``, ``client_gone`` or ``error``.
        seconds: From arrival to the last byte written.
    """

    seq: int
    at: float
    wall: float
    client: str
    method: str
    host: str
    path: str
    query: dict[str, str]
    domain: str = ""
    status: int = -1
    outcome: str = ""
    seconds: float = 0.0


class RequestLog:
    """The latest requests, oldest first.

    Args:
        file: Each finished request is also appended there as a line of JSON.
        kept: How many are kept in memory.
    """

    def __init__(self, file: Path | None = None, kept: int = KEPT) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=kept)
        self._lock = threading.Lock()
        self._file: IO[str] | None = file.open("a", encoding="utf-8") if file else None
        self._seq = 0

    def begin(
        self, at: float, wall: float, *, client: str, method: str, host: str, path: str,
        query: dict[str, str], domain: str = "",
    ) -> LogEntry:  # fmt: skip
        """Note an arrival."""
        with self._lock:
            self._seq += 1
            entry = LogEntry(self._seq, at, wall, client, method, host, path, query, domain)
            self._entries.append(entry)
        return entry

    def end(self, entry: LogEntry, *, status: int, outcome: str, seconds: float) -> None:
        """Note how a request ended."""
        entry.status, entry.outcome, entry.seconds = status, outcome, seconds
        if self._file is not None:
            self._file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            self._file.flush()

    def since(self, seq: int = 0) -> list[LogEntry]:
        """Requests after a number, ascending."""
        with self._lock:
            return [entry for entry in self._entries if entry.seq > seq]

    def clear(self) -> None:
        """Forget all requests; the numbering goes on."""
        with self._lock:
            self._entries.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
