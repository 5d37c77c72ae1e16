"""What libraries say on their own is no part of a command's words."""

import subprocess
import sys

import pytest

_WARNS = """
import logging, sys, warnings
import pipeline.cli as cli

cli._root(verbose=sys.argv[1] == "-v")
warnings.warn("a glyph is missing", UserWarning)
logger = logging.getLogger("weasyprint")
logger.setLevel(logging.WARNING)
logger.warning("an unknown property")
"""


@pytest.mark.parametrize("option", ["", "-v"])
def test_warnings_of_libraries_are_for_who_asks_for_the_log(option: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _WARNS, option], capture_output=True, text=True, check=True
    )
    if option:
        assert "a glyph is missing" in said.stderr
        assert "an unknown property" in said.stderr
    else:
        assert said.stderr == ""
