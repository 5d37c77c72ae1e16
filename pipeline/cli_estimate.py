"""``--plan``: what a sync would cost, before a request is made."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import timedelta

from pipeline import output
from pipeline.estimating import Estimate, estimate
from pipeline.request import Request
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from pipeline.stack import simulator_for
from pipeline.upstreams import SIMULATOR


def show_estimates(settings: Settings, requests: Sequence[Request], *, as_json: bool) -> None:
    """Print the cost of each request.

    A simulator is started for its clock alone; no data request is sent.

    Raises:
        QuantsyncError: A request cannot be meant, or a store not be read.
    """
    runtime = Runtime(settings)
    upstream = requests[0].upstream
    needed = simulator_for(settings, upstream) if upstream == SIMULATOR else nullcontext(upstream)
    with needed as reached:
        found = [estimate(runtime, replace(each, upstream=reached)) for each in requests]
    if as_json:
        documents = [_document(each) for each in found]
        output.print_json(documents[0] if len(documents) == 1 else {"plans": documents})
        return
    for each in found:
        _show(each)


def _document(found: Estimate) -> dict[str, object]:
    document = asdict(found)
    document["window"] = {"from": found.window.start, "to": found.window.end}
    return document | {"total": found.total}


def _show(found: Estimate) -> None:
    requests = ", ".join(f"{count:,} {name}" for name, count in found.requests.items())
    output.console.print(
        f"[bold]{found.kind}[/] {found.period} {found.window} in the {found.lane} lane: "
        f"{output.counted(found.total, 'request')} to {found.upstream}"
    )
    output.console.print(f"  requests  {requests or 'none: nothing is missing'}")
    took = timedelta(seconds=round(found.seconds))
    output.console.print(f"  time      {took} at {found.permitted}")
    output.console.print(
        f"  left      {output.counted(found.live_free, 'request')} in 5 minutes beside the "
        "5-minute sync"
    )
    for each in found.expiring:
        symbols = output.counted(each.symbols, "symbol")
        when = "at the next close" if each.closes_left == 1 else f"in {each.closes_left} sessions"
        output.console.print(f"  expires   {each.session} of {symbols}, {when}")
    for notice in found.notices:
        output.console.print(f"  note      {output.plain(notice)}")
