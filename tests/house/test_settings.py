"""Configuration is written down: ``.env.example`` and the settings never part."""

import re
from pathlib import Path

from pydantic import AliasChoices

from pipeline.settings import Settings

ROOT = Path(__file__).parents[2]


def variables_of_settings() -> set[str]:
    """The environment variable of each field, by the first of its names."""
    prefix = Settings.model_config.get("env_prefix", "")
    names = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias or field.alias or prefix + name
        if isinstance(alias, AliasChoices):
            alias = alias.choices[0]
        assert isinstance(alias, str), f"{name} has no plain name in the environment"
        names.add(alias.upper())
    return names


def test_env_example_lists_every_setting_and_nothing_else() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    listed = re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]+)=", text, flags=re.MULTILINE)
    assert len(listed) == len(set(listed)), "a variable is listed twice"
    assert set(listed) == variables_of_settings()
