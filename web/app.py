"""The application: what every part of it is made of, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from pipeline.attaching import attach
from pipeline.runtime import current_runtime
from pipeline.settings import Settings, use_settings
from web import problems
from web.api import budget, catalog, events, health, holdings, klines, reports, runs, syncs, tasks
from web.pages import assembly
from web.query_names import check_query
from web.security import Guard
from web.services import Services
from web.shortcut import Shortcut

_ABOUT = """
Puts work on the queues and reads the stores of a quantsync installation.

Send a key of `quantsync keys create` as `Authorization: Bearer qs_…`: scope `read` for `GET`,
`operate` for the rest. Every error is a problem document (RFC 9457) that names the field and the
remedy. Instants are ISO 8601 with their offset, days are sessions of the exchange (Asia/Shanghai),
volumes are shares, amounts are CNY.
"""

_ROUTES = (klines, catalog, holdings, budget, runs, syncs, events, tasks, reports)


def create_app(settings: Settings) -> FastAPI:
    """The application on an installation; opens nothing before it is first needed.

    It makes the installation's broker this process's own, so call it before the Celery app is
    imported, and once a process.

    Raises:
        ConfigurationError: The secret of the logins cannot be read.
    """
    settings = attach(settings)
    use_settings(settings)
    services = Services(settings, current_runtime())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = FastAPI(
        title="quantsync",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    problems.install(app)
    app.include_router(health.router)  # whatever a supervisor or proxy adds to its questions
    for each in _ROUTES:
        app.include_router(each.router, dependencies=[Depends(check_query)])
    assembly.install(app)
    # The one added last comes first.
    app.add_middleware(Shortcut, services=services, prefix="/api/v1/klines/")
    app.add_middleware(
        Guard,
        names=settings.web_names,
        most_bytes=settings.web_body_kib * 1024,
        patience_s=settings.web_patience_s,
    )
    return app
