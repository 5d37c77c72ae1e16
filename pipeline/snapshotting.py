"""The provisional 5m bars of a tick: one sweep of the whole market, compared with the one before.

It runs within the commit of the tick's wave. What the watch-list's own fetches of the same tick
brought is better and is left alone; after the close the official bars replace all of it.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.snapshots import SNAPSHOT, SNAPSHOT_COLUMNS, bars_between
from ingest.validation import sound_alone
from market.bars import Dataset
from market.clock import in_shanghai
from market.periods import Period
from market.sessions import SESSION_CLOSE, bar_end, bar_end_times
from pipeline.runtime import Runtime
from pipeline.sweeping import BEGAN_AT, ENDED_AT, FETCHED_AT, SOURCE
from storage.coverage import read_coverage
from storage.run_records import RunStatus
from storage.snapshots import Snapshots

LIVE_SOURCE = "eastmoney"
KEPT_SESSIONS = 5
"""Sessions whose sweeps are kept."""
_BAR = timedelta(minutes=5)


def take_snapshot(
    runtime: Runtime,
    status: RunStatus,
    manifest: Mapping[str, Any],
    quotes: pa.Table,
    fetched: Collection[str],
    write: Callable[[pa.Table], None],
) -> list[str]:
    """Write the provisional bars of a tick. Idempotent.

    Args:
        runtime: The stores.
        status: The run of the tick.
        manifest: Of the sweep's batch: which session it shows.
        quotes: As staged.
        fetched: Symbols whose official bars came in the same tick.
        write: Writes bars to both stores.

    Returns:
        Sentences about what is missing.

    Raises:
        StorageError: A store cannot be read or written.
    """
    session = date.fromisoformat(manifest["session"])
    began, ended = (in_shanghai(quotes[name][0].as_py()) for name in (BEGAN_AT, ENDED_AT))
    ends = bar_end_times(Period.M5)
    end = closing_bar(datetime.fromisoformat(str(status.slot)) if status.slot else began)
    if end is None or not _in_time(session, end, began, ended):
        took = f"{began:%H:%M:%S} to {ended:%H:%M:%S}"
        return [f"the sweep of {took} lies across the ends of two bars: no bar was made of it"]
    snapshots = Snapshots(runtime.settings.lake_path, runtime.lake_manifest)
    before = ends[ends.index(end) - 1] if end != ends[0] else None
    earlier = snapshots.read(session, before) if before is not None else None
    snapshots.write(session, end, quotes.select(list(SNAPSHOT_COLUMNS)))
    snapshots.forget(runtime.calendar.offset(session, 1 - KEPT_SESSIONS))
    if before is not None and earlier is None:
        return [f"no sweep was taken at {before:%H:%M}: no provisional bars end at {end:%H:%M}"]
    source = quotes[SOURCE][0].as_py()
    made = bars_between(
        earlier,
        quotes,
        bar_end(session, end),
        source=SNAPSHOT if source == LIVE_SOURCE else f"{source}:{SNAPSHOT}",
        fetched_at=quotes[FETCHED_AT][0].as_py(),
    )
    covered = read_coverage(runtime.database, Dataset.KLINE.value, Period.M5.value)
    done = {name for name, held in covered.items() if held.ranges[-1].end >= session}
    symbols = made.bars["symbol"].cast(pa.string())
    official = pc.is_in(symbols, pa.array(sorted(done.union(fetched)), pa.string()))
    bars = made.bars.filter(pc.invert(official))
    sound = pa.array(sound_alone(Period.M5, bars))
    if bars.num_rows:
        write(bars.filter(sound))
    notices = []
    refused = bars.num_rows - int(pc.sum(sound).as_py() or 0)
    for count, why in (
        (refused, "break a rule of a bar"),
        (len(made.contradictions), "have less volume or range than at the sweep before"),
        (len(made.unknown), "were not in the sweep before"),
    ):
        if count:
            notices.append(f"{count} symbols have no provisional bar of {end:%H:%M}: they {why}")
    return notices


def closing_bar(slot: datetime) -> time | None:
    """End of the 5m bar that a tick closes: the latest one that has ended; None before the first.

    The ticks after the close end the session's last bar again, with the closing auction in it.
    """
    at = in_shanghai(slot).time().replace(second=0, microsecond=0)
    return max((end for end in bar_end_times(Period.M5) if end <= at), default=None)


def _in_time(session: date, end: time, began: datetime, ended: datetime) -> bool:
    """Whether a sweep saw the bar's end, and nothing of the bar after the next."""
    first = bar_end(session, end)
    if end == SESSION_CLOSE:
        return began >= first
    following = min(each for each in bar_end_times(Period.M5) if each > end)
    return first <= began <= ended < max(bar_end(session, following), first + _BAR)
