"""Whatever is asked, there is no 5xx, and every answer fits the schema: by schemathesis."""

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from requests import Session
from schemathesis.checks import not_a_server_error
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
QUICK = hypothesis.settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = hypothesis.settings(QUICK, max_examples=400)


@pytest.fixture(scope="session")
def api_schema(web_app: WebApp) -> schemathesis.BaseSchema:
    """The schema as the application tells it."""
    return schemathesis.openapi.from_url(
        f"{web_app.url}/api/v1/openapi.json",
        headers={"Authorization": f"Bearer {web_app.keys[Scope.READ]}"},
    )


@pytest.fixture(scope="session")
def api_session(web_app: WebApp) -> Session:
    """Connections with the operating key."""
    session = Session()
    session.headers["Authorization"] = f"Bearer {web_app.keys[Scope.OPERATE]}"
    return session


api = schemathesis.pytest.from_fixture("api_schema")


@api.parametrize()
@QUICK
def test_every_answer_fits_its_schema(case: schemathesis.Case, api_session: Session) -> None:
    case.call_and_validate(session=api_session, checks=CHECKS, timeout=30)


@pytest.mark.lengthy
@api.parametrize()
@LONG
def test_every_answer_of_many_fits_its_schema(
    case: schemathesis.Case, api_session: Session
) -> None:
    case.call_and_validate(session=api_session, checks=CHECKS, timeout=30)
