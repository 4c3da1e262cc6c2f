"""`deploy`, `feed` and `doctor` against servers that are not as they should be."""

from __future__ import annotations

import re
import time

import pytest
from typer.testing import CliRunner

from ranking.profiles.shipped import SHIPPED
from rocosearch.cli import app
from tests.live.stand_in import stand_in
from tests.rocosearch.test_usage import loaded
from tests.vespa_app.client.fake_config_server import ACTIVATED, FakeConfigServer, running
from tests.vespa_app.client.hostile_server import hostile, said
from vespa_app.doctor import MEASURED_VERSION
from vespa_app.package.package import write_application

REMOVAL = (
    "Invalid application: schema-removal: Schema 'songs' is removed in content cluster 'music'. "
    "This will cause loss of all data in this schema. To allow this add <allow "
    "until='yyyy-mm-dd'>schema-removal</allow> to validation-overrides.xml"
)
REFUSAL = {"error-code": "INVALID_APPLICATION_PACKAGE", "message": REMOVAL}


def run(*arguments, answer=None):
    given = [str(each) for each in arguments]
    return CliRunner().invoke(app, given, input=answer, env={"COLUMNS": "200"})


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "services.xml").write_text("<services/>")
    return folder


@pytest.fixture
def fake():
    with running(FakeConfigServer()) as server:
        server.deploys = [(400, REFUSAL)]
        yield server


def deploy(fake, package, *options, answer=None):
    where = ("--config-url", fake.url, "--url", f"{fake.url}/container", "--timeout", 30)
    return run("deploy", package, *where, *options, answer=answer)


def test_a_refusal_that_an_override_would_lift_says_so(fake, package):
    result = deploy(fake, package)
    assert result.exit_code == 1
    assert "loss of all data in this schema" in result.output
    assert "--allow-removal`, which asks first" in result.output
    result = deploy(fake, package, "--allow-change")
    assert not list(package.glob("validation*"))


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False), ("", False)])
def test_what_will_be_lost_is_named_and_asked(fake, package, answer, done):
    result = deploy(fake, package, "--allow-removal", answer=answer)
    assert "loss of all data in this schema" in result.output
    assert "Deploy anyway" in result.output
    assert (result.exit_code == 0) == done
    written = package / "validation-overrides.xml"
    assert written.exists() == done
    if done:
        (until,) = re.findall(r'until="(\S+)">schema-removal<', written.read_text())
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", until)
        assert set(fake.package) == {"services.xml", "validation-overrides.xml"}


def test_yes_asks_nothing(fake, package):
    result = deploy(fake, package, "--allow-removal", "--yes")
    assert result.exit_code == 0
    assert "Deploy anyway" not in result.output


def test_what_vespa_says_of_a_deploy_is_printed(fake, package):
    actions = {
        "restart": [{"messages": ["Field 'x' needs a restart"]}],
        "refeed": [{"messages": ["Field 'y' needs a refeed"]}],
        "reindex": [{"messages": ["Field 'z' indexes every document again"]}],
    }
    log = [{"level": "WARNING", "message": "Host is \x1b[31mslow"}]
    fake.deploys = [(200, ACTIVATED | {"configChangeActions": actions, "log": log})]
    result = deploy(fake, package)
    assert result.exit_code == 0, result.output
    for words in ("needs a restart", "needs a refeed", "indexes every", "Host is \\x1b[31mslow"):
        assert words in result.output


def test_another_application_than_the_package_is_told(package_of_app, tmp_path):
    unknown = {
        "code": 17,
        "summary": "Bad request.",
        "message": "Grouping request references attribute 'fingerprint_x' which is not available",
    }
    answer = said({"root": {"fields": {"totalCount": 0}, "errors": [unknown]}}, 400)
    with hostile(lambda _request, send, _ended: send(answer)) as url:
        result = run("search", url, "chest", "--app", package_of_app)
    assert result.exit_code == 1
    words = " ".join(result.output.split())
    assert f"{url} does not run the application in {package_of_app}: deploy it" in words


@pytest.fixture
def package_of_app(tmp_path):
    write_application(tmp_path / "lexical", None, SHIPPED)
    return tmp_path / "lexical"


UP = {"status": {"code": "up"}}
WHOLE = {"coverage": 100, "documents": 7, "full": True, "nodes": 1}
METRICS = {
    "nodes": [
        {
            "services": [
                {
                    "metrics": [
                        {
                            "values": {
                                "cluster-controller.resource_usage.nodes_above_limit.max": 0,
                                "cluster-controller.resource_usage.max_disk_utilization.max": 0.3,
                            }
                        }
                    ]
                }
            ]
        }
    ]
}
HEALTHY = {
    "/state/v1/health": UP,
    "/state/v1/version": {"version": MEASURED_VERSION},
    "/search/": {"root": {"fields": {"totalCount": 0}, "coverage": WHOLE}},
    "/metrics/v2/values": METRICS,
}


def doctor(package, **changed):
    answers = HEALTHY | {f"/{key.replace('_', '/')}": value for key, value in changed.items()}

    def answer(request, send, _ended):
        content = answers.get(request.split()[1])
        status, body = content if isinstance(content, tuple) else (200, content)
        send(said(body, status) if content else said({}, 404))

    with hostile(answer) as url:
        return run("doctor", url, "--config-url", url, "--app", package)


def test_a_server_in_health(package_of_app):
    result = doctor(package_of_app)
    assert result.exit_code == 0, result.output
    for words in ("is Vespa 8.700.24", "is up", "7 documents", "not blocked", "disk 30%"):
        assert words in result.output


FULL = "cluster-controller.resource_usage.nodes_above_limit.last"
BLOCKED = {"nodes": [{"services": [{"metrics": [{"values": {FULL: 2}}]}]}]}


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"state_v1_version": {"version": "8.738.17"}}, 0, "docs/vespa-versions.md"),
        ({"state_v1_health": {"status": {"code": "initializing"}}}, 1, "'initializing'"),
        ({"search/": {"root": {"coverage": WHOLE | {"documents": 0}}}}, 1, "rocosearch feed"),
        (
            {"search/": {"root": {"coverage": WHOLE | {"full": False, "coverage": 50}}}},
            1,
            "only 50 % of its documents",
        ),
        ({"search/": (401, {"message": "no"})}, 1, "does not accept this client"),
        ({"metrics_v2_values": BLOCKED}, 1, "Feeding is blocked: 2 content nodes"),
        ({"metrics_v2_values": {"nodes": 3}}, 0, "feed block state is unknown"),
    ],
)
def test_what_is_wrong_is_said(package_of_app, changed, code, words):
    result = doctor(package_of_app, **changed)
    assert result.exit_code == code, result.output
    assert words in result.output


def test_the_doctor_of_nobody():
    result = run("doctor", "http://localhost:9")
    assert result.exit_code == 1
    assert "Connection refused" in result.output


@pytest.mark.parametrize(
    "command",
    [
        ("parity", "no-index", "http://localhost:9"),
        ("search", "http://[::1]:9", "chest"),
        ("feed", "no-corpus", "--to", "HTTP://localhost:9"),
        ("deploy", "no-app", "--config-url", "http://localhost:port"),
    ],
)
def test_a_sentence_and_no_trace_where_nobody_listens(command, package):
    result = run(*("app" if each == "no-app" else each for each in command))
    assert result.exit_code == 1
    assert "This is a bug" not in result.output
    assert len(result.output.strip().splitlines()) < 8


def test_nobody_listens_is_said_before_anything_is_opened():
    started = time.monotonic()
    result = run("parity", "no-index", "http://localhost:9")
    assert "Connection refused" in result.output
    assert time.monotonic() - started < 5


def test_clients_of_a_server_load_nothing_heavy(made):
    """Whole runs in a new process: what they do not need takes longer to import than they last."""
    heavy = ("torch", "transformers", "pandas", "scipy", "matplotlib", "vespa.package")
    root, _ = made
    with stand_in() as url:
        config = ("--config-url", url)
        commands = (
            ("deploy", root / "app", *config, "--url", url),
            ("feed", root / "corpus", root / "encoder", "--to", url, *config),
            ("doctor", url, *config),
            ("search", url, "chest", *config, "--encoder", root / "encoder"),
        )
        found = loaded(heavy, *(tuple(map(str, command)) for command in commands))
        assert found == [[], [], [], []]
