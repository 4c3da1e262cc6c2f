"""Deploying: what is sent, what is waited for, and a real config server's refusals told."""

from __future__ import annotations

import gzip
import json
import re
import sys

import pytest

from tests.vespa_app.client.fake_config_server import (
    ACTIVATED,
    FOUND,
    UP,
    FakeConfigServer,
    running,
)
from vespa_app.deploy.config_server import ConfigServer, DeployError
from vespa_app.deploy.deploy import CloudTarget, deploy, deploy_to_cloud
from vespa_app.http.errors import VespaGarbledError
from vespa_app.read.application import read_application

DEAD = {"root": FOUND["root"] | {"errors": [{"code": 10, "summary": "x"}]}}
LESS = {"coverage": 50, "documents": 1, "full": False, "nodes": 1, "degraded": {"timeout": True}}
PARTIAL = {"root": {"coverage": LESS}}
UNKNOWN = {"root": {"errors": [{"code": 4, "summary": "Invalid query parameter"}]}}
DOWN = {"status": {"code": "initializing"}}


@pytest.fixture
def fake():
    with running(FakeConfigServer()) as server:
        yield server


def recorded(golden):
    """Every deploy of the record: (kind, status, response)."""
    text = gzip.decompress((golden / "redeploy.jsonl.gz").read_bytes()).decode()
    for record in map(json.loads, text.splitlines()):
        if "prepareandactivate" in record.get("path", ""):
            yield record["kind"], record["status"], record["response"]


def put(package, fake, **options):
    return deploy(package, fake.url, f"{fake.url}/container", pause=0.001, **options)


def test_waits_for_each_step_and_tells_of_it(package, fake):
    fake.health = [(503, {}), (200, DOWN), (200, UP)]
    fake.converge = [
        (404, {}),
        (200, {"converged": False}),
        (200, {"converged": True, "currentGeneration": 1}),  # of the session before
        (200, {"converged": True, "currentGeneration": 2}),
    ]
    fake.container = [(503, {}), (200, DOWN), (200, UP)]
    fake.search = [(503, DEAD), (400, UNKNOWN), (200, {"root": {}}), (200, PARTIAL), (200, FOUND)]
    told = []
    done = put(package, fake, progress=lambda *step: told.append(step[:2]))
    assert done.session == "2"
    assert [stage for stage, ready in told if ready] == [
        "config server",
        "deploy",
        "services activate the new configuration",
        "container serves",
        "content nodes answer",
    ]
    sent = {str(p.relative_to(package)): p for p in package.rglob("*") if p.is_file()}
    assert set(fake.package) == set(sent)
    assert all(fake.package[name] == path.read_bytes() for name, path in sent.items())


@pytest.mark.parametrize("step", ["health", "converge", "container", "search"])
def test_gives_up_in_time(package, fake, step):
    setattr(fake, step, [(503, {})])
    with pytest.raises(DeployError, match="Gave up"):
        put(package, fake, seconds=0.1)


def test_nothing_listens(package):
    with pytest.raises(DeployError, match=r"config server.*Connection refused"):
        deploy(package, "http://localhost:9", "http://localhost:9", seconds=0.05, pause=0.01)


def test_no_package(tmp_path, fake):
    with pytest.raises(DeployError, match=r"no services\.xml"):
        put(tmp_path, fake)


def test_refusals_in_vespas_own_words(vespa_golden, package, fake):
    refused = [
        (kind, response) for kind, status, response in recorded(vespa_golden) if status != 200
    ]
    assert len(refused) > 12
    for kind, response in refused:
        fake.deploys = [(400, response)]
        with pytest.raises(DeployError) as caught:
            put(package, fake)
        said = str(caught.value)
        assert response["error-code"] in said
        if "Details:" not in response["message"]:
            assert " ".join(response["message"].split()) in said, kind


def test_the_line_that_says_what_is_wrong_is_found(vespa_golden, package, fake):
    fake.deploys = [
        (400, r) for kind, _, r in recorded(vespa_golden) if kind == "bad-unknown-feature"
    ]
    with pytest.raises(DeployError, match="unknown basename: 'nosuchfeature'") as caught:
        put(package, fake)
    assert "INFO" not in str(caught.value)


def test_accepted_deploys_are_read(vespa_golden, package, fake):
    for kind, status, response in recorded(vespa_golden):
        if status != 200:
            continue
        fake.deploys = [(200, response)]
        done = put(package, fake)
        assert done.session == response["session-id"]
        if kind == "change-distance-metric-with-override":
            assert re.search(r"distance-metric.*EUCLIDEAN", done.restart[0])
            assert "require restart" in done.warnings[0]


def test_the_running_application_is_read_back(package, fake):
    put(package, fake)
    assert ConfigServer(fake.url).application() == read_application(package)


def test_no_application_runs(fake):
    with pytest.raises(DeployError, match="deploy one first"):
        ConfigServer(fake.url).application()


def test_a_page_that_is_not_vespas(package, fake):
    fake.deploys = [(404, {})]
    with pytest.raises((DeployError, VespaGarbledError), match="HTTP status 404"):
        put(package, fake)


class FakeCloud:
    """Stands where pyvespa's VespaCloud does; talks as much."""

    def __init__(self, **options):
        print("No api-key found", file=options["output_file"])
        self.options = options

    def deploy_from_disk(self, instance, application_root, environment, region):
        sys.stdout.write("Deployment started in run 1 of dev-aws-us-east-1c")
        if environment == "perf":
            raise RuntimeError("Deployment failed: quota exceeded")
        return type("App", (), {"url": f"https://{self.options['tenant']}.vespa-app.cloud"})


def test_vespa_cloud(package, monkeypatch, capsys):
    monkeypatch.setattr("vespa.deployment.VespaCloud", FakeCloud)
    url = deploy_to_cloud(package, CloudTarget("tenant", "images"))
    assert url == "https://tenant.vespa-app.cloud"
    with pytest.raises(DeployError, match="quota exceeded"):
        deploy_to_cloud(package, CloudTarget("tenant", "images", environment="perf"))
    assert capsys.readouterr().out == ""


def test_services_that_lag_behind_are_waited_for(vespa_golden, fake):
    text = gzip.decompress((vespa_golden / "redeploy.jsonl.gz").read_bytes()).decode()
    records = {record["kind"]: record for record in map(json.loads, text.splitlines())}
    lagging = records["serviceconverge"]["response"]
    fake.converge = [(200, lagging)]
    assert not ConfigServer(fake.url).converged()
    fake.converge = [(200, lagging | {"converged": True})]
    assert ConfigServer(fake.url).converged(str(lagging["currentGeneration"]))
    assert not ConfigServer(fake.url).converged(str(lagging["wantedGeneration"]))
    for no_number in ("²", "9" * 5000):  # what a server may call its session
        assert ConfigServer(fake.url).converged(no_number)


def test_activated_is_what_vespa_says(vespa_golden):
    keys = {tuple(r) for _, status, r in recorded(vespa_golden) if status == 200}
    assert {key for names in keys for key in names} >= set(ACTIVATED)
