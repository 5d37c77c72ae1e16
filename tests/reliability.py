"""Writes docs/reliability.md from what fault tests reported (``make reliability``).

A report holds a line of JSON a case and round: case, fault, where, recovered_s, lost, doubled.
"""

import argparse
import json
import platform
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEAD = """# Reliability

What was broken, where, how often, and what it cost. The suite `tests/e2e/faults` drives real
processes: redis-server, RabbitMQ, SQLite and PostgreSQL, Celery workers, the command, the market
simulator. After every fault these must hold, or the test fails: both stores hold exactly the bars
of an undisturbed run, no watermark is ahead of its bars, every run has ended exactly once and in
time, no lease stays, no reader sees a temporary file.

"Recovered" is the time from the fault, outages included, to the end of the run, which an
undisturbed run needs part of, too: 40 symbols at 40 requests/s. For the tests leases last {lease} s
instead of 120 s and reconcilers look every {every} s instead of every 30 s; with the defaults a
recovery that waits for a lease or a reconciler takes as much longer. "Lost" and "doubled" count
bars in either store. Case numbers: 1–2 workers, 3–5 planners and headers, 6–9 commits, 10–12
delivery and zombies, 13–19 brokers, 20–22 data and hangs, 23 schedulers, 24 disks and databases,
25 commands, 26 bans.

Written by `tests/reliability.py`, the last step of `make reliability`, on {when}, {machine}, from
at most {rounds} rounds a case. Do not edit.

| case | fault | injected | rounds | recovered (s) | lost | doubled |
|---|---|---|---:|---:|---:|---:|
"""
TAIL = """
The soak (last line) picks a fault and a moment at random in every round, in a sync of 200 symbols:
`make soak ROUNDS=50`; `TEST_SEED=N` chooses others. The short version of everything here runs in
`make test`.

## What is not shown here

Power loss (a killed process loses no page cache; files and folders are synced, SQLite runs with
`synchronous=FULL`), hours of load, Redis Sentinel and Cluster, RabbitMQ's `consumer_timeout` (a
batch ends after 25 minutes at most, RabbitMQ waits 30), and network file systems below the lake.
"""


def main() -> int:
    """Read a report, write the page; 1 if any bar was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="what the tests wrote to TEST_FAULT_REPORT")
    parser.add_argument("page", type=Path, help="the page to write")
    chosen = parser.parse_args()
    lines = chosen.report.read_text(encoding="utf-8").splitlines()
    cases: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in map(json.loads, lines):
        if line["recovered_s"]:
            cases[line["case"], line["fault"], line["where"]].append(line)
    rows = [_row(*key, found) for key, found in sorted(cases.items(), key=_order)]
    rounds = max(len(found) for found in cases.values())
    lost = sum(line["lost"] + line["doubled"] for found in cases.values() for line in found)
    head = HEAD.format(
        lease=3,
        every=1,
        when=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        rounds=rounds,
    )
    chosen.page.write_text(head + "\n".join(rows) + "\n" + TAIL, encoding="utf-8")
    sys.stdout.write(f"{len(rows)} cases in {chosen.page}, {lost} bars lost or doubled\n")
    return 1 if lost else 0


def _order(entry: tuple[tuple[str, str, str], object]) -> tuple[int, str, str]:
    number, fault, where = entry[0]
    return (int(number) if number.isdigit() else 99, fault, where)


def _row(number: str, fault: str, where: str, found: list[dict[str, Any]]) -> str:
    seconds = sorted(s for line in found for s in line["recovered_s"])
    spread = f"{seconds[0]:.1f}"
    if len(seconds) > 1:
        spread += f" – {seconds[-1]:.1f}"
    lost, doubled = (sum(line[name] for line in found) for name in ("lost", "doubled"))
    return f"| {number} | {fault} | {where} | {len(seconds)} | {spread} | {lost} | {doubled} |"


if __name__ == "__main__":
    sys.exit(main())
