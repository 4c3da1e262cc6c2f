"""Jobs on a Vespa server: deploy, feed, compare, swap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.base.storage import put_back
from ranking.names import ROLES
from ranking.searcher import Searcher
from ranking.types import VectorField
from rocosearch.outputs import check_file
from vespa_app.deploy.config_server import ConfigServer
from vespa_app.deploy.deploy import CloudTarget, deploy, deploy_to_cloud
from vespa_app.doctor import Finding, examine
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.feed.documents import DocumentClient
from vespa_app.http.credentials import Credentials, is_url, on_port
from vespa_app.read.application import Application, read_application

if TYPE_CHECKING:
    from eval.evaluate import Options
    from eval.report.evaluation import Evaluation
    from ingest.feed.documents import View
    from ingest.feed.feed import FeedResult, FeedSource
    from ingest.feed.reconcile import Reconciliation
    from ingest.feed.targets import Target
    from rocosearch.live_parity import Parity
    from rocosearch.swap import Swap

__all__ = [
    "Server",
    "compare_with_server",
    "deploy_package",
    "evaluate_server",
    "examine_server",
    "feed_corpus",
    "find_application",
    "open_server_searcher",
    "open_target",
    "start_swap",
    "write_feed",
]

CONFIG_PORT = 19071
# For comparisons: queries contain their vectors, partial answers are errors.
COMPARED = EngineSettings(embed=False, strict=True)


@dataclass(frozen=True)
class Server:
    """Target of a feed: a URL, or an index folder.

    package: folder of the deployed application. config_url: its config server. Without either,
    the config server is expected on the URL's host.
    """

    to: str
    package: Path | None = None
    config_url: str | None = None

    @property
    def is_url(self) -> bool:
        """Whether it is a Vespa server rather than an index."""
        return is_url(self.to)


def deploy_package(
    package: Path,
    *,
    config_url: str,
    url: str,
    cloud: str | None = None,
    environment: str = "dev",
    seconds: float = 300.0,
    progress: Progress = silent,
) -> dict[str, object]:
    """Deploy and wait until it answers queries; return its URL and Vespa's messages.

    cloud: "tenant.application.instance" of Vespa Cloud, instead of the two URLs.
    Raises DeployError with Vespa's message.
    """
    put_back(package)
    if not (package / "services.xml").exists():
        raise UserError(
            f"{package} is not an application package: it has no services.xml. Name a folder "
            "written by `rocosearch app`."
        )
    if cloud:
        target = replace(_cloud_target(cloud), environment=environment)
        return {"url": deploy_to_cloud(package, target, progress=progress)}
    credentials = Credentials.from_environment()
    done = deploy(
        package, config_url, url, seconds=seconds, credentials=credentials, progress=progress
    )
    return {"url": url, **asdict(done)}


def feed_corpus(
    corpus: Path,
    encoder: Path | None,
    server: Server,
    *,
    view: View = "full",
    delete: bool = False,
    visit: bool = False,
    studies: bool = False,
    captions: bool = False,
    caption_encoder: Path | None = None,
    progress: Progress = silent,
) -> tuple[FeedResult, Reconciliation | None]:
    """Compute missing vectors, then sync the server or index.

    visit: first correct the ledger from the ids in the target. This is also done if target and
    ledger contradict each other; the result says why. Raises FeedError if feeding cannot start or
    had to stop; confirmed documents stay recorded.
    """
    from ingest.feed.feed import feed
    from ingest.feed.reconcile import contradiction, reconcile

    with open_target(server) as target:
        source = _source(
            corpus,
            (encoder, caption_encoder),
            (target.name, target.vector_fields),
            view,
            progress,
            delete=delete,
            studies=studies,
            captions=captions,
        )
        doubt = "" if visit else contradiction(source.corpus, target)
        found = reconcile(source.corpus, target) if visit or doubt else None
        return feed(source, target, progress=progress), found and replace(found, why=doubt)


def write_feed(
    corpus: Path,
    encoder: Path | None,
    application: Application,
    out: Path,
    *,
    view: View = "full",
    studies: bool = False,
    captions: bool = False,
    caption_encoder: Path | None = None,
    progress: Progress = silent,
) -> tuple[int, list[tuple[str, str]]]:
    """Write a feed file for the `vespa feed` client; return its lines and what was left out."""
    from ingest.feed.feed import check_own_fields, tell_of_captions
    from ingest.feed.feed_file import write_feed_file

    check_file(out)
    fields = [field for served in application.encoders for field in served.fields]
    source = _source(
        corpus,
        (encoder, caption_encoder),
        ("The application", fields),
        view,
        progress,
        studies=studies,
        captions=captions,
    )
    check_own_fields(source.corpus, "the application", application.attributes)
    tell_of_captions(source, "The application", fields)
    return write_feed_file(source, application, out, progress)


@contextmanager
def open_target(server: Server) -> Iterator[Target]:
    """The target of a feed, connected; closed at the end."""
    from ingest.feed.targets import EngineTarget, VespaTarget
    from ranking.engine.engine import EmbeddedEngine

    if not server.is_url:
        engine = EmbeddedEngine.open(Path(server.to))
        yield EngineTarget(engine, str(Path(server.to).resolve()))
        return
    application = find_application(server)
    with DocumentClient(server.to, Credentials.from_environment()) as client:
        target = VespaTarget(client, application)
        if server.package:
            with closing(target.engine()) as asked:
                asked.check_application(f"{server.package}")
        yield target


def find_application(server: Server) -> Application:
    """The deployed application, read from the package folder or from the config server.

    Raises UserError if both are named.
    """
    if server.package:
        if server.config_url:
            raise UserError(
                "--config-url has no effect with --app, since the package is read from the folder: "
                "leave one of them out."
            )
        return read_application(server.package)
    config = ConfigServer(
        server.config_url or on_port(server.to, CONFIG_PORT), Credentials.from_environment()
    )
    return config.application()


def examine_server(server: Server) -> Iterator[Finding]:
    """Diagnose a running Vespa."""
    config_url = server.config_url or on_port(server.to, CONFIG_PORT)
    application = read_application(server.package) if server.package else None
    return examine(server.to, config_url, application, Credentials.from_environment())


def compare_with_server(
    index: Path,
    server: Server,
    *,
    profiles: Sequence[str] = (),
    queries: int = 100,
    seed: int = 0,
    progress: Progress = silent,
) -> Parity:
    """Compare an index with a server that has the same documents, on the same queries."""
    from ranking.engine.engine import EmbeddedEngine
    from rocosearch.live_parity import compare_engines
    from rocosearch.open_index import load_encoder

    with _connected(server, find_application(server), COMPARED) as live:
        live.count()  # nobody listens: said before anything is loaded
        engine = EmbeddedEngine.open(index)
        encoder = load_encoder(engine.encoder_folder) if engine.encoder_folder else None
        return compare_engines(
            engine,
            live,
            encoder,
            profiles=profiles,
            queries=queries,
            seed=seed,
            progress=progress,
        )


def evaluate_server(
    server: Server,
    corpus: Path,
    out: Path,
    options: Options | None = None,
    *,
    encoder: Path | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate a running Vespa that was fed from `corpus`; write the report to `out`.

    encoder: embeds the queries; without it only lexical ranking is evaluated.
    Raises VespaDegradedError if any answer has partial coverage.
    """
    from rocosearch.pipeline import evaluate_target

    with _connected(server, find_application(server), COMPARED) as live:
        if not live.count():
            raise UserError(f"{server.to} has no documents yet: feed it first (`rocosearch feed`).")
        from eval.search.targets import ServedTarget

        target = ServedTarget(live)
        return evaluate_target(target, corpus, out, options, encoder=encoder, progress=progress)


@contextmanager
def _connected(
    server: Server, application: Application, settings: EngineSettings
) -> Iterator[VespaEngine]:
    """A server, of which it is checked that it runs the package that was named."""
    credentials = Credentials.from_environment()
    live = VespaEngine.connect(server.to, application, settings, credentials)
    with closing(live):
        if server.package:
            live.check_application(f"{server.package}")
        yield live


@contextmanager
def open_server_searcher(server: Server, encoder: Path | None = None) -> Iterator[Searcher]:
    """Search a running Vespa, which embeds texts itself, or with vectors of `encoder`.

    Partial coverage is a warning. Raises EngineError if the application was not made for the
    encoder.
    """
    from rocosearch.open_index import load_encoder

    application = find_application(server)
    with _connected(server, application, EngineSettings(embed=encoder is None)) as live:
        loaded = load_encoder(encoder) if encoder else None
        searcher = Searcher(live, loaded, embeds=application.embeds)
        searcher.calibration = application.calibration
        yield searcher


def start_swap(
    index: Path,
    corpus: Path,
    encoder: Path,
    *,
    to: str | None = None,
    config_url: str | None = None,
    folder: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Swap:
    """Start to swap the encoder of an index, or with `to` that of a server written from it.

    force: even if the server's application has changes that this index would not write.
    """
    from rocosearch.swap import VespaServer, start_on_index, start_on_vespa

    if to is None:
        return start_on_index(index, corpus, encoder, folder=folder, progress=progress)
    server = VespaServer(to, config_url or on_port(to, CONFIG_PORT))
    place = folder or index.with_name(f"{index.name}.swap")
    return start_on_vespa(
        server, index, corpus, encoder, folder=place, force=force, progress=progress
    )


def _source(
    corpus: Path,
    encoders: tuple[Path | None, Path | None],
    target: tuple[str, Sequence[VectorField]],
    view: View,
    progress: Progress,
    *,
    delete: bool = False,
    studies: bool = False,
    captions: bool = False,
) -> FeedSource:
    """What to feed, its missing vectors computed, for a target of that name and fields.

    encoders: of images, and of captions where it is another one.
    """
    from ingest.corpus.corpus import Corpus
    from ingest.feed.feed import FeedSource, check_fields

    opened, (encoder, reader), (name, fields) = Corpus.open(corpus), encoders, target
    if encoder is None:
        return FeedSource(opened, (), view, delete, studies)
    from encoders.model.manifest import Manifest
    from ingest.feed.documents import PATCHES_OF_STUDIES
    from ingest.vectors.embed import embed_corpus
    from rocosearch.open_index import caption_encoder_folder, embedding_encoder, encoder_folder

    patches = any(field.labels == ROLES["patches"] for field in fields)
    if patches and studies:
        raise UserError(PATCHES_OF_STUDIES)
    encoder = encoder_folder(encoder, progress)
    reader = caption_encoder_folder(encoder, reader, progress)
    made = (Manifest.load(encoder).fingerprint,)
    of_captions = Manifest.load(reader).fingerprint if reader else ""
    captions = captions or reader is not None
    source = FeedSource(opened, made, view, delete, studies, captions, patches, of_captions)
    check_fields(made, name, fields, source.encoder_of_captions)  # embedding may take hours
    images = by = embedding_encoder(encoder, progress)
    if reader:
        by = embedding_encoder(reader, progress)
    embed_corpus(opened, images, progress, captions=by if captions else None, patches=patches)
    return source


def _cloud_target(name: str) -> CloudTarget:
    parts = name.split(".")
    if len(parts) not in {2, 3} or not all(parts):
        raise UserError(
            f"{name!r} is not an application of Vespa Cloud: write TENANT.APP[.INSTANCE]."
        )
    tenant, application, instance = (*parts, "default")[:3]
    return CloudTarget(tenant, application, instance)
