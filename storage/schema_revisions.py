"""Which revisions of the tables this version knows."""

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory


def known_revisions() -> set[str]:
    """The newest revision and all before it."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return {script.revision for script in scripts}
