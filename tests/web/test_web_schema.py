"""Whatever is asked, there is no 5xx, and every answer fits the schema: by schemathesis."""

from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.errors import Unsatisfiable
from requests import Session
from schemathesis.checks import not_a_server_error
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from storage.api_keys import Scope
from tests.fixtures.web_app import WebApp

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SETTINGS = hypothesis.settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    verbosity=Verbosity.quiet,
    suppress_health_check=list(HealthCheck),
)


def try_everything(web_app: WebApp, examples: int) -> Counter[tuple[str, int]]:
    """Ask every operation with its examples, with what fits its schema, and with what does not.

    Returns:
        How often each operation gave each status.
    """
    session = Session()
    session.headers["Authorization"] = f"Bearer {web_app.keys[Scope.OPERATE]}"
    schema: Any = schemathesis.openapi.from_url(f"{web_app.url}/api/v1/openapi.json", headers={
        "Authorization": f"Bearer {web_app.keys[Scope.READ]}"})  # fmt: skip
    found: Counter[tuple[str, int]] = Counter()

    def ask(case: Any) -> None:
        answer = case.call_and_validate(session=session, checks=CHECKS, timeout=30)
        found[case.operation.label, answer.status_code] += 1

    for result in schema.get_all_operations():
        operation = result.ok()
        strategies = [(each, 1) for each in schema.get_strategies_from_examples(operation)]
        strategies += [(operation.as_strategy(mode), examples) for mode in GenerationMode]
        for strategy, number in strategies:
            settings = hypothesis.settings(SETTINGS, max_examples=number)
            try:
                settings(hypothesis.given(case=strategy)(ask))()
            except Unsatisfiable:
                continue  # nothing can be wrong where nothing is asked for
    return found


def test_every_answer_fits_its_schema(web_app: WebApp) -> None:
    found = try_everything(web_app, 3)
    asked = {label for label, _ in found}
    fine = {label for label, status in found if status < 300}
    paths = web_app.get("/api/v1/openapi.json").json()["paths"]
    assert len(asked) == sum(len(methods) for methods in paths.values())
    # Otherwise the refusals alone would have been held against the schema.
    assert len(fine) > len(asked) / 2, sorted(found)


@pytest.mark.lengthy
@pytest.mark.timeout(1800)
def test_every_answer_of_many_fits_its_schema(web_app: WebApp) -> None:
    assert sum(try_everything(web_app, 60).values()) > 1500
