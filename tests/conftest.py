"""What all tests share: where real data lies, and where Vespa's own code does."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from encoders.model.manifest import Manifest
from ranking.profiles.shipped import SHIPPED
from tests import made_once  # noqa: F401 - names the folder that the processes of a run share
from tests.live.kit import Kit, java_environment
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import write_application

if TYPE_CHECKING:
    from selenium import webdriver

# What torch and others load stays to the end: looking through it again and again for garbage took
# a tenth of the suite's CPU time.
gc.set_threshold(50_000, 20, 100)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The kit's runs are short: Java's second compiler, and collecting garbage early, take more time
# than they save.
os.environ.setdefault("VESPA_CHECK_JAVA_OPTS", "-XX:TieredStopAtLevel=1 -Xmn256m")
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores already
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run: a failure that comes and goes helps no one.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long files first and short ones last: no process waits for another at the end.

    The contract needs no kit, so that one process tries it while another archives the classes.
    """
    order = {"engine_contract": 0, "vespa_app": 1, "ranking": 3, "ingest": 4}
    items.sort(key=lambda item: order.get(item.nodeid.removeprefix("tests/").partition("/")[0], 2))


def _beside(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs ../shared/{name}, which is not here")
    return path


@pytest.fixture(scope="session", autouse=True)
def no_flush() -> Iterator[None]:
    """No test cuts the power of this process: waiting for the disk would be much of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets: roco/, medpix/, imageclef/."""
    return _beside("data")


def pytest_collection_finish() -> None:
    """Let libraries do once in a process what they do at each call.

    torch's exporter lists the ONNX functions, a second of each export; pyvespa reads its templates
    for each package, most of the time of writing one.
    """
    if "vespa.package" in sys.modules:
        pyvespa = sys.modules["vespa.package"]
        make, made = pyvespa.Environment, []
        pyvespa.Environment = lambda **same: (made or made.append(make(**same)) or made)[0]
    if "torch" in sys.modules:
        registry = import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
        registry.from_torchlib = classmethod(cache(registry.from_torchlib.__func__))


@pytest.fixture(scope="session")
def vespa_check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit of Vespa's own Java code."""
    path = _beside("vespa-check/vespa-check")
    if not any((Path(p) / "java").exists() for p in os.environ["PATH"].split(os.pathsep)):
        pytest.skip("needs a Java 17 runtime on PATH")
    _share_classes(path, tmp_path_factory.mktemp("kit"))
    return path


@pytest.fixture(scope="session")
def opened_kit(vespa_check: Path) -> Iterator[Kit]:
    with closing(Kit(vespa_check)) as opened:
        yield opened


@pytest.fixture(scope="module")
def kit(opened_kit: Kit) -> Iterator[Kit]:
    """Vespa's own code as a function."""
    yield opened_kit
    opened_kit.end_application()


def _share_classes(kit: Path, folder: Path) -> None:
    """Let each run of the kit take its classes from an archive: that halves its CPU time.

    https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html; an archive of another Java
    is not used.
    """
    found = sorted((kit.parent / "lib").glob("*.jar"))
    jars = [(jar.name, jar.stat().st_size, int(jar.stat().st_mtime)) for jar in found]
    key = hashlib.sha256(repr(jars).encode()).hexdigest()[:16]
    archive = ROOT / "build" / f"kit-{key}.jsa"
    if " " in str(archive):  # the options are one text
        return
    archive.parent.mkdir(exist_ok=True)
    with (archive.parent / "kit.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
        if not archive.exists():
            _archive_classes(kit, archive, folder)
    if archive.exists():
        os.environ["VESPA_CHECK_JAVA_OPTS"] += f" -XX:SharedArchiveFile={archive} -Xlog:disable"


def _archive_classes(kit: Path, archive: Path, folder: Path) -> None:
    manifest = Manifest(4, True, 16, 32, "L", "pad", (0.5,), (0.5,), "00", "11", "{}")
    client = PackageOptions(embedding="client")
    write_application(folder / "app", manifest, SHIPPED, options=client)
    made = archive.with_suffix(f".{os.getpid()}")
    with java_environment() as environment:
        environment["VESPA_CHECK_JAVA_OPTS"] += f" -XX:ArchiveClassesAtExit={made}"
        subprocess.run(
            [kit, "yql", folder / "app"],
            input='{"yql": "select * from image where true"}\n',
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    if made.exists():
        made.replace(archive)


@pytest.fixture(scope="session")
def kit_golden() -> Path:
    """Golden records of the kit."""
    return _beside("vespa-check/golden")


@pytest.fixture(scope="session")
def vespa_golden() -> Path:
    """Requests and responses of a real Vespa server."""
    return _beside("vespa-golden")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium without a screen; it logs what pages ask for and complain of."""
    binary = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("needs Chromium and chromedriver on PATH")
    webdriver = import_module("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    try:
        opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    except import_module("selenium.common.exceptions").WebDriverException as error:
        pytest.skip(f"Chromium does not start here: {error.msg.splitlines()[0]}")
    yield opened
    opened.quit()
