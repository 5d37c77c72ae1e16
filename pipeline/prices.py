"""Real and simulated prices never share a home: the first ones to be committed decide."""

from market.errors import ConfigurationError
from pipeline.runtime import Runtime
from pipeline.upstreams import LIVE
from storage.errors import StorageError
from storage.installation import read_fact, settle_fact

_FACT = "prices"


def check_prices(runtime: Runtime, upstream: str) -> None:
    """Refuse an upstream whose prices the home cannot take, before anything is planned.

    Raises:
        ConfigurationError: The home holds prices of the other kind.
    """
    held, wanted = read_fact(runtime.database, _FACT), _kind(upstream)
    if held is not None and held != wanted:
        raise ConfigurationError(_sentence(runtime, held, wanted), _context(runtime))


def settle_prices(runtime: Runtime, upstream: str) -> None:
    """Note what the home holds from its first commit on, and refuse the other kind.

    Two first runs may have been planned while the home was empty: only one of them is committed.

    Raises:
        StorageError: The home holds prices of the other kind; nothing is to be written.
    """
    wanted = _kind(upstream)
    held = settle_fact(runtime.database, _FACT, wanted)
    if held != wanted:
        raise StorageError(_sentence(runtime, held, wanted), _context(runtime))


def _kind(upstream: str) -> str:
    return "real" if upstream == LIVE else "simulated"


def _sentence(runtime: Runtime, held: str, wanted: str) -> str:
    return (
        f"{runtime.settings.home} holds {held} prices; {wanted} ones are not mixed in: set "
        "QUANTSYNC_HOME (and DATABASE_URL, if set) to another place for them"
    )


def _context(runtime: Runtime) -> dict[str, object]:
    return {"home": str(runtime.settings.home)}
