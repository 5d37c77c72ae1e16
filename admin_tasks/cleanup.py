"""Clean-up: what an installation needs no more, and only that."""

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from market.errors import QuantsyncError
from storage.database import Database
from storage.files import unwritable
from storage.lake import Lake
from storage.lake_manifest import LakeManifest
from storage.ledger_retention import (
    expired_revisions,
    expired_runs,
    forget_revisions,
    forget_run,
)
from storage.minute_retention import drop_minutes, minutes_due
from storage.open_files import openers
from storage.recovery import Recovery
from storage.snapshots import Snapshots
from storage.sqlite_upkeep import optimize, unused_bytes
from storage.staging import Staging

_RUN_ID = re.compile(r"^\d{8}T\d{6}-[0-9a-f]{8}$")
_SWEPT_SESSIONS = 5
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept; 0 days: for ever.

    Attributes:
        log_days: Logs that nobody writes.
        ledger_days: Runs that have ended.
        revision_days: Bars that others took the place of.
        minute_days: Minute bars in SQL, counted from the newest one; the lake keeps all.
        grace_s: Staged files of a run that has ended stay so long after they were written.
        orphan_s: And so long if the ledger does not know the run; a run's deadline or more, for
            until then it could have been committed.
    """

    log_days: float
    ledger_days: float
    revision_days: float
    minute_days: int
    grace_s: float = 600.0
    orphan_s: float = 86_400.0


@dataclass(slots=True)
class Cleaned:
    """What was removed, or would be.

    Attributes:
        logs: Files.
        staged: Runs whose staged files went.
        snapshots: Sessions whose sweeps went.
        runs: Runs that left the ledger.
        revisions: How many revisions.
        minutes_before: Minute bars of sessions before this one left SQL, ISO 8601; None: none did.
        minute_bars: How many; None where it was not counted, as nothing was removed.
        unused_bytes: Of the SQLite file that new rows will fill; None: not SQLite.
        notices: What was left for a reason that somebody should read.
    """

    logs: list[str] = field(default_factory=list)
    staged: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    revisions: int = 0
    minutes_before: str | None = None
    minute_bars: int | None = None
    unused_bytes: int | None = None
    notices: list[str] = field(default_factory=list)


class CleanUp:
    """Removes what an installation needs no more.

    Args:
        database: The ledger and SQL's bars.
        lake: The lake.
        staging: Staged files.
        logs: Folder of the logs.
        retention: How long what is kept.
    """

    def __init__(
        self, database: Database, lake: Lake, staging: Staging, logs: Path, retention: Retention
    ) -> None:
        self._database, self._lake, self._staging = database, lake, staging
        self._logs, self._retention = Path(logs), retention

    def run(self, *, dry: bool = False) -> Cleaned:
        """Remove it. Idempotent; any number of them do no harm.

        A part that cannot be done does not keep the others from it: the notices say so.

        Args:
            dry: Say what would be removed, and remove nothing.
        """
        done = Cleaned()
        for part in (
            self._clean_logs,
            self._clean_staged,
            self._clean_snapshots,
            self._clean_ledger,
            self._clean_revisions,
            self._clean_minutes,
            self._tend_database,
        ):
            try:
                part(done, dry)
            except (QuantsyncError, OSError) as error:
                done.notices.append(str(error))
        return done

    def _clean_logs(self, done: Cleaned, dry: bool) -> None:  # noqa: FBT001
        days = self._retention.log_days
        old = [path for path in self._log_files() if days and _age_s(path) > days * _DAY_S]
        written = {each.path for each in openers(old) if each.writes}
        for path in old:
            if path in written:
                continue
            if not dry:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise unwritable(path, error) from error
            done.logs.append(path.name)

    def _log_files(self) -> Iterator[Path]:
        """Plain files that lie in the logs' own folder; what a link names is not the logs'.

        Another user's are left: who has them open cannot be seen.
        """
        if not self._logs.is_dir():
            return
        for path in sorted(self._logs.iterdir()):
            status = path.lstat()
            mine = os.geteuid() in (0, status.st_uid)
            if mine and stat.S_ISREG(status.st_mode) and not path.name.startswith("."):
                yield path

    def _clean_staged(self, done: Cleaned, dry: bool) -> None:  # noqa: FBT001
        """By what the ledger says of a run; age only spares what is being written."""
        recovery = Recovery(self._database)
        for run_id in self._staging.run_ids():
            if not _RUN_ID.match(run_id):
                continue  # nobody of ours has made it
            age_s = self._staged_age_s(run_id)
            known = recovery.knows(run_id)
            spared_s = self._retention.grace_s if known else self._retention.orphan_s
            if age_s < spared_s or (known and not recovery.may_be_swept(run_id)):
                continue
            if not dry:
                self._staging.discard_run(run_id)
            done.staged.append(run_id)

    def _staged_age_s(self, run_id: str) -> float:
        """Seconds since anything was last written of a run."""
        folder = self._staging.root / run_id
        ages = [_age_s(path) for path in (folder, *folder.rglob("*"))]
        return min(ages, default=0.0)

    def _clean_snapshots(self, done: Cleaned, dry: bool) -> None:  # noqa: FBT001
        root = self._lake.root
        snapshots = Snapshots(root, LakeManifest(lambda: self._database, root))
        sessions = snapshots.sessions()
        old = sessions[:-_SWEPT_SESSIONS]
        if old and not dry:
            snapshots.forget(sessions[-_SWEPT_SESSIONS])
        done.snapshots += [day.isoformat() for day in old]

    def _clean_ledger(self, done: Cleaned, dry: bool) -> None:  # noqa: FBT001
        days = self._retention.ledger_days
        for run_id in expired_runs(self._database, days) if days else ():
            if dry or forget_run(self._database, run_id):
                done.runs.append(run_id)

    def _clean_revisions(self, done: Cleaned, dry: bool) -> None:  # noqa: FBT001
        days = self._retention.revision_days
        if days:
            remove = expired_revisions if dry else forget_revisions
            done.revisions = remove(self._database, days)

    def _clean_minutes(self, done: Cleaned, dry: bool) -> None:  # noqa: FBT001
        before = minutes_due(self._database, self._retention.minute_days)
        if before is None:
            return
        if not dry:
            done.minute_bars, refused = drop_minutes(self._lake, self._database, before)
            done.notices += refused
        done.minutes_before = before.isoformat()

    def _tend_database(self, done: Cleaned, dry: bool) -> None:  # noqa: FBT001
        if self._database.is_sqlite:
            if not dry:
                optimize(self._database)
            done.unused_bytes = unused_bytes(self._database)


def _age_s(path: Path) -> float:
    """Seconds since a file was last written; 0 if it is gone."""
    try:
        return max(0.0, time.time() - path.lstat().st_mtime)
    except FileNotFoundError:
        return 0.0
