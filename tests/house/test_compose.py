"""The containers: what they start, what they may do, and which settings they are given."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from pipeline.settings import Settings
from tests.fixtures.units import DEPLOY, ROOT, read_env_file, read_unit

COMPOSE = DEPLOY / "compose"
OURS = {
    "worker": "quantsync-worker.service",
    "worker-quant": "quantsync-worker-quant.service",
    "beat": "quantsync-beat.service",
    "flower": "quantsync-flower.service",
    "metrics": "quantsync-metrics.service",
    "web": "quantsync-web.service",
}
THEIRS = {"redis", "rabbitmq", "postgresql"}
SETTINGS = {name.upper() for name in Settings.model_fields}


def services() -> dict[str, dict[str, Any]]:
    """The services of the compose file, what they share merged into each."""
    document = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def dockerfile() -> str:
    return (COMPOSE / "Dockerfile").read_text(encoding="utf-8")


def test_the_broker_the_database_and_all_our_services_are_there() -> None:
    assert set(services()) == set(OURS) | THEIRS


@pytest.mark.parametrize("name", sorted(set(OURS) | THEIRS))
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert str(service["user"]).split(":")[0] not in {"root", "0", ""}
    assert "mem_limit" in service
    assert service["restart"] == "unless-stopped"
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(set(OURS) | THEIRS))
def test_a_container_tells_whether_it_is_well(name: str) -> None:
    check = services()[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= set(check)


def test_no_port_is_open_to_another_machine() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_images_are_pinned_by_a_tag_and_name_no_registry() -> None:
    images = {service["image"] for service in services().values()}
    images |= set(re.findall(r"^FROM (\S+)", dockerfile(), flags=re.MULTILINE))
    for image in images:
        name, _, tag = image.partition(":")
        assert tag not in {"", "latest"}, image
        assert "." not in name.split("/")[0], image


def test_every_volume_that_is_mounted_is_declared() -> None:
    document = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    mounted = {
        volume.partition(":")[0]
        for service in document["services"].values()
        for volume in service.get("volumes", [])
    }
    assert mounted == set(document["volumes"])


@pytest.mark.parametrize(("name", "unit"), OURS.items())
def test_a_container_starts_what_the_unit_starts(name: str, unit: str) -> None:
    """But for the address: within its own network a container listens for its neighbours."""
    read = read_unit(unit)
    program, *words = read.words("ExecStart", **read.environment)
    command, *arguments = services()[name]["command"]
    assert command == Path(program).name
    inside = {"--expose"}
    here = [word for word in words if "127.0.0.1" not in word]
    there = [word for word in arguments if "0.0.0.0" not in word and word not in inside]
    assert there == here


def test_a_container_has_time_to_stop_before_it_is_killed() -> None:
    for name in ("worker", "worker-quant"):
        service = services()[name]
        assert service["stop_signal"] == "SIGTERM"
        assert int(service["stop_grace_period"].removesuffix("s")) >= 60


def test_our_containers_are_given_known_settings_only() -> None:
    _, shipped = read_env_file(COMPOSE / "quantsync.env.example")
    given = {name for ours in OURS for name in services()[ours]["environment"]}
    assert (shipped | given) - SETTINGS == set()


def test_every_password_is_asked_for_by_name() -> None:
    """And compose refuses to start without it."""
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    asked = re.findall(r"\$\{([A-Z_]+)(:\?)?", text)
    _, named = read_env_file(COMPOSE / "passwords.example")
    assert {name for name, _ in asked} == named
    assert all(required for _, required in asked)


def test_the_shipped_settings_of_the_services_are_known() -> None:
    given, named = read_env_file(DEPLOY / "quantsync.env")
    assert named - SETTINGS == set()
    Settings.model_validate({name.lower(): value for name, value in given.items()})


def test_the_image_holds_every_package_and_nothing_unproven() -> None:
    text = dockerfile()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", text, flags=re.MULTILINE)
    sources = {name for line in copied for name in line.split()}
    needed = {*packages, "requirements.lock", "pyproject.toml", "README.md", "LICENSE"}
    assert sources == needed
    let_in = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert set(let_in) == needed
    assert "--require-hashes" in text
    assert re.search(r"^USER 10001:10001$", text, flags=re.MULTILINE)
