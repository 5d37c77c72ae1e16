"""The part of the configuration that is about the web application.

Read by :class:`pipeline.settings.Settings`, as all of it.
"""

import ipaddress
import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class WebSettings(BaseSettings):
    """What can be configured of it, with its default."""

    web_up: bool = Field(
        default=True, description="Whether `quantsync up` starts the web application, too"
    )
    web_listen: str = Field(
        default="127.0.0.1:8000",
        description="HOST:PORT of the web application; beyond loopback only with a key",
    )
    web_hosts: str | None = Field(
        default=None, description="Names it is asked by, between commas; loopback needs none"
    )
    web_proxies: str = Field(
        default="", description="Proxies whose X-Forwarded-For and -Proto are believed"
    )
    web_readers: int = Field(default=8, ge=1, le=64, description="Threads that read the stores")
    web_cache_mib: int = Field(
        default=64, ge=0, le=65_536, description="Memory for bars that were asked for lately"
    )
    web_body_kib: int = Field(
        default=1024, ge=1, le=65_536, description="Largest body of a request"
    )
    web_patience_s: float = Field(
        default=15.0, gt=0, le=600, description="A client takes no longer to send or to take in"
    )
    web_connections: int = Field(
        default=1000, ge=10, le=100_000, description="Connections that may be open at once"
    )
    web_streams: int = Field(
        default=100, ge=1, le=10_000, description="Event streams that may be open at once"
    )
    web_reads_per_s: float = Field(
        default=100.0, gt=0, description="Reading requests a second and key, in the long run"
    )
    web_writes_per_min: float = Field(
        default=60.0, gt=0, description="Writing requests a minute and key, in the long run"
    )
    web_session_hours: float = Field(
        default=12.0, gt=0, le=8760, description="A login of the page lasts so long"
    )

    flower_url: str = Field(
        default="http://127.0.0.1:5555", description="Where browsers find Flower; pages link to it"
    )

    @field_validator("flower_url")
    @classmethod
    def _address_of_flower(cls, text: str) -> str:
        if not _URL.fullmatch(text):
            raise ValueError(f"{text!r} is no address: write http://127.0.0.1:5555")
        return text

    @field_validator("web_hosts")
    @classmethod
    def _names_of_hosts(cls, text: str | None) -> str | None:
        for name in _split(text):
            if not _HOST.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a host: write quantsync.example.com")
        return text

    @field_validator("web_proxies")
    @classmethod
    def _addresses_of_proxies(cls, text: str) -> str:
        for address in _split(text):
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise ValueError(
                    f"{address!r} is no address: write 127.0.0.1, 10.0.0.0/8"
                ) from None
        return text

    @property
    def web_names(self) -> frozenset[str]:
        """Names that the web application is asked by, in small letters."""
        return frozenset(_split(self.web_hosts))


def _split(text: str | None) -> list[str]:
    return [word.strip().lower() for word in (text or "").split(",") if word.strip()]
