"""A real Vespa server, known by two addresses, and nothing else.

`fresh` puts an application onto it with nothing left of what was there: statistics of bm25 keep
what was removed, so the schema itself is taken away and brought back.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from vespa_app.deploy.deploy import deploy
from vespa_app.package.options import ClusterOptions

# A server for tests shares its disk with much else.
ROOMY = ClusterOptions(disk_limit=0.98, memory_limit=0.97)
URL, CONFIG_URL = "VESPA_URL", "VESPA_CONFIG_URL"
SECONDS = 600.0

BLANK_SERVICES = """\
<?xml version="1.0" encoding="utf-8" ?>
<services version="1.0">
  <container id="default" version="1.0">
    <search/>
    <document-api/>
    <document-processing/>
    <nodes><node hostalias="node1"/></nodes>
  </container>
  <content id="images" version="1.0">
    <redundancy>1</redundancy>
    <documents><document type="blank" mode="index"/></documents>
    <nodes><node distribution-key="0" hostalias="node1"/></nodes>
  </content>
</services>
"""
BLANK_SCHEMA = "schema blank { document blank { field id type string { indexing: attribute } } }\n"
ALLOWED = (
    "schema-removal",
    "content-cluster-removal",
    "field-type-change",
    "indexing-change",
    "hnsw-settings-change",
    "resources-reduction",
)


@dataclass(frozen=True)
class LiveServer:
    url: str
    config_url: str

    def deploy(self, package: Path) -> None:
        deploy(package, self.config_url, self.url, seconds=SECONDS)

    def fresh(self, package: Path, scratch: Path) -> None:
        """Deploy the package onto an empty server."""
        blank = scratch / "blank"
        (blank / "schemas").mkdir(parents=True, exist_ok=True)
        (blank / "services.xml").write_text(BLANK_SERVICES)
        (blank / "schemas" / "blank.sd").write_text(BLANK_SCHEMA)
        allow_everything(blank)
        self.deploy(blank)
        allowed = scratch / "allowed"
        shutil.rmtree(allowed, ignore_errors=True)
        shutil.copytree(package, allowed)
        allow_everything(allowed)
        self.deploy(allowed)


def allow_everything(package: Path) -> None:
    until = (dt.datetime.now(tz=dt.UTC).date() + dt.timedelta(days=25)).isoformat()
    lines = [f'  <allow until="{until}">{name}</allow>' for name in ALLOWED]
    text = "\n".join(["<validation-overrides>", *lines, "</validation-overrides>", ""])
    (package / "validation-overrides.xml").write_text(text)


def live_server() -> LiveServer:
    """The server that the environment names; the test is skipped where it names none."""
    addresses = [os.environ.get(name, "") for name in (URL, CONFIG_URL)]
    if not all(addresses):
        pytest.skip(f"needs a Vespa server: make test-live {URL}=... {CONFIG_URL}=...")
    return LiveServer(*addresses)
