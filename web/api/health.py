"""Whether it works: for supervisors, proxies and collectors."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """This process serves."""

    status: Literal["ok"]


@router.get("/healthz", summary="Whether this process serves")
async def healthz() -> Health:
    """Asks no store and no broker, and needs no key."""
    return Health(status="ok")
