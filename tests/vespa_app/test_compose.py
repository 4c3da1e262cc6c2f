"""docker-compose.yml: pinned, limited, checked for health, without privilege."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
TLS = COMPOSE.with_name("docker-compose.tls.yml")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def vespa(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]["vespa"]


def test_version_is_pinned(vespa: dict[str, Any]) -> None:
    assert vespa["image"] == "vespaengine/vespa:8.700.24"


def test_memory_and_processes_are_limited(vespa: dict[str, Any]) -> None:
    assert vespa["mem_limit"] == vespa["memswap_limit"] == "6g"
    assert vespa["pids_limit"] > 0


def test_no_privilege(vespa: dict[str, Any]) -> None:
    assert vespa["cap_drop"] == ["ALL"]
    assert vespa["security_opt"] == ["no-new-privileges:true"]
    assert vespa["user"] == "vespa"
    assert not vespa.get("privileged")
    assert not {"cap_add", "network_mode", "pid", "devices"} & vespa.keys()


def test_ports_are_on_loopback(vespa: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in vespa["ports"])


def test_data_lies_on_a_named_volume(compose: dict[str, Any], vespa: dict[str, Any]) -> None:
    volumes = dict(volume.split(":") for volume in vespa["volumes"])
    assert set(volumes) == set(compose["volumes"])
    assert "/opt/vespa/var" in volumes.values()


def test_health_of_config_server_and_container(vespa: dict[str, Any]) -> None:
    check = vespa["healthcheck"]
    assert ":19071/state/v1/health" in check["test"][1]
    assert ":8080/state/v1/health" in check["test"][1]
    assert check["retries"] > 1
    assert "start_period" in check


@pytest.mark.parametrize("path", [COMPOSE, TLS], ids=lambda path: path.name)
def test_the_public_schema_of_compose_files_holds(path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="it brings the schema of compose files")
    jsonschema = pytest.importorskip("jsonschema")
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(vendored.read_text("utf-8"))
    content = yaml.safe_load(path.read_text("utf-8"))
    jsonschema.validate(content, schema)
    content["services"]["vespa"]["no_such_option"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_the_tls_file_adds_tls_and_takes_nothing_away(vespa: dict[str, Any]) -> None:
    tls = yaml.safe_load(TLS.read_text("utf-8"))
    added = tls["services"]["vespa"]
    assert added.keys() == {"environment", "configs", "volumes", "healthcheck"}
    (config,) = added["configs"]
    assert added["environment"]["VESPA_TLS_CONFIG_FILE"] == config["target"]
    files = json.loads(tls["configs"][config["source"]]["content"])["files"]
    assert files.keys() == {"ca-certificates", "certificates", "private-key"}
    (volume,) = added["volumes"]
    assert volume.endswith(":/etc/vespa-tls:ro")
    check = added["healthcheck"]["test"][1]
    assert all(path in check for path in files.values())
    assert "http://" not in check
    plain = vespa["healthcheck"]["test"][1]
    assert check.count("state/v1/health") == plain.count("state/v1/health")
