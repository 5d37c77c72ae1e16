"""What every test keeps to."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_test_says_its_promise() -> None:
    """In a docstring, or in a name of four words or more."""
    silent = [
        f"{path.relative_to(TESTS)}:{node.lineno}: {node.name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
        if not ast.get_docstring(node) and len(node.name.split("_")) < 5
    ]
    assert silent == []
