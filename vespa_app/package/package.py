"""Write the application package of encoders and profiles.

write_application(Path("app"), Manifest.load(folder), SHIPPED, encoder_folder=folder)
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vespa.package import ApplicationPackage

from encoders.base.progress import Progress, silent
from encoders.base.storage import whole_folder
from encoders.export.graphs import ensure_graphs
from encoders.inference.onnx_encoder import TEXT_GRAPH
from encoders.inference.reranker import RerankerManifest
from encoders.model.manifest import Manifest, check_file
from encoders.model.tokenizer import FILE_NAME as TOKENIZER, load_tokenizer
from ranking.calibration import CALIBRATION, Calibration
from ranking.names import CAPTION_VECTORS
from ranking.profiles.checks import check_features
from ranking.profiles.shipped import ProfileSet
from vespa_app.package.options import DEFAULTS, PackageError, PackageOptions, check_encoder
from vespa_app.package.query_profiles import query_profiles
from vespa_app.package.rank_profiles import vespa_rank_profiles
from vespa_app.package.schema import image_schema
from vespa_app.package.services import hosts_xml, model_folder, services_configuration

__all__ = ["PackagedEncoder", "application_package", "write_application"]

NO_RERANKERS: Mapping[Path, RerankerManifest] = {}


@dataclass(frozen=True)
class PackagedEncoder:
    """An encoder of the application; its folder is needed only to embed inside Vespa."""

    manifest: Manifest
    folder: Path | None = None

    @classmethod
    def open(cls, folder: Path) -> PackagedEncoder:
        """The encoder in `folder`. Raises ManifestError if there is none."""
        return cls(Manifest.load(folder), folder)


def application_package(
    encoders: Sequence[Manifest],
    profiles: ProfileSet,
    average_field_lengths: Mapping[str, float] | None = None,
    options: PackageOptions = DEFAULTS,
    rerankers: Mapping[Path, RerankerManifest] = NO_RERANKERS,
    captions: Manifest | None = None,
) -> ApplicationPackage:
    """The package as pyvespa has it, without the models' files and hosts.xml.

    encoders: the current one first; none gives a lexical application. rerankers: those of the
    encoders, by their folders. captions: of the encoder of captions, where it is another one.
    Raises PackageError where an option, a profile or an encoder does
    not suit the others, or a profile re-ranks and an encoder has no re-ranker.
    """
    everyone = [*encoders, *([captions] if captions and captions not in encoders else [])]
    for manifest in everyone:
        check_encoder(manifest, options)
    _check_distinct(encoders)
    resolved = [profiles.resolve(name) for name in profiles.names()]
    for profile in resolved:
        check_features(profile, options.attributes)
    usable = [profile for profile in resolved if encoders or not profile.uses_vector]
    if not usable:
        raise PackageError("Every rank profile needs a vector, and no encoder was given.")
    used = rerankers if any(profile.reranks for profile in usable) else NO_RERANKERS
    if any(profile.reranks for profile in usable):
        _check_rerankers(encoders, used.values())
    roles = {
        "embedding",
        *(role for profile in usable for role in profile.roles),
        *(["patches"] if any(profile.late for profile in usable) else []),
    }
    made = {m: roles if m in encoders else {CAPTION_VECTORS} for m in everyone}
    if captions:
        made |= {m: made[m] - {CAPTION_VECTORS} for m in encoders if m != captions}
    default = profiles.default if profiles.default in {p.name for p in usable} else usable[0].name
    return ApplicationPackage(
        name=options.name,
        schema=[
            image_schema(
                made,
                options.vectors,
                vespa_rank_profiles(
                    profiles,
                    encoders,
                    average_field_lengths,
                    options.ann,
                    options.vectors.distance,
                    [*used.values()],
                    captions,
                ),
                options.summaries,
                options.attributes,
                used,
            )
        ],
        services_config=services_configuration(everyone, options),
        query_profile_config=query_profiles(usable, default, encoders, options, captions),
    )


def write_application(
    out: Path,
    manifest: Manifest | None,
    profiles: ProfileSet,
    encoder_folder: Path | None = None,
    average_field_lengths: Mapping[str, float] | None = None,
    *,
    others: Sequence[PackagedEncoder] = (),
    captions: PackagedEncoder | None = None,
    options: PackageOptions = DEFAULTS,
    exported: Path | None = None,
    calibration: Calibration | None = None,
    progress: Progress = silent,
) -> None:
    """Write the package into the folder `out`, whole or not at all, replacing an older one.

    manifest: of the current encoder, to which the plain profile names point; None gives a lexical
    application. others: encoders that stand beside it. captions: the encoder of captions, where
    it is another one; left out where no profile compares captions. encoder_folder: needed to
    embed inside Vespa. average_field_lengths: mean length in tokens by text field, of a snapshot.
    exported: a package from which text towers that it has are copied. calibration: for clients.

    Raises PackageError as `application_package` does, and where embedding inside Vespa is asked
    for without the encoder's folder; ExportError if a text tower cannot be exported exactly.
    """
    encoders = [PackagedEncoder(manifest, encoder_folder)] if manifest else []
    encoders += others
    folders = [encoder.folder for encoder in encoders if encoder.folder]
    rerankers = {f: found for f in folders if (found := RerankerManifest.load(f))}
    resolved = map(profiles.resolve, profiles.names())
    if not encoders or not any(CAPTION_VECTORS in profile.roles for profile in resolved):
        captions = None
    if captions:  # an index's copy of it names fewer files
        own = captions.manifest.fingerprint
        captions = next((e for e in encoders if e.manifest.fingerprint == own), captions)
    made = [e.manifest for e in encoders]
    package = application_package(
        made,
        profiles,
        average_field_lengths,
        options,
        rerankers,
        captions.manifest if captions else None,
    )
    with whole_folder(out) as beside:
        package.to_files(beside)
        _remove_empty_folders(beside)
        hosts = hosts_xml(options.cluster)
        if hosts:
            (beside / "hosts.xml").write_text(hosts, encoding="utf-8")
        if calibration:
            (beside / "ext").mkdir()
            calibration.save(beside / "ext" / CALIBRATION)
        if options.embedding == "vespa":
            if captions and captions.manifest not in made:
                encoders.append(captions)
            _write_models(beside, encoders, exported, progress)


def _write_models(
    root: Path, encoders: Sequence[PackagedEncoder], exported: Path | None, progress: Progress
) -> None:
    for done, encoder in enumerate(encoders):
        progress("copy text tower", done, len(encoders))
        name = model_folder(encoder.manifest)
        if exported and (exported / name).is_dir():
            shutil.copytree(exported / name, root / name)
            continue
        if encoder.folder is None:
            raise PackageError(
                f"The encoder {encoder.manifest.fingerprint[:8]} is known only by its manifest: "
                "name its folder, or embed at the client."
            )
        _write_text_tower(encoder.folder, root / name, progress)
    progress("copy text tower", len(encoders), len(encoders))


def _write_text_tower(encoder: Path, out: Path, progress: Progress) -> None:
    """Vespa reads from the tokenizer's file that texts are cut, where, and never padded."""
    manifest = ensure_graphs(encoder, progress)
    tokenizer = load_tokenizer(encoder, manifest.tokenizer_sha256, max_tokens=manifest.max_tokens)
    check_file(encoder / TEXT_GRAPH, manifest.graphs.get(TEXT_GRAPH, ""))
    out.mkdir(parents=True)
    shutil.copyfile(encoder / TEXT_GRAPH, out / TEXT_GRAPH)
    (out / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")


def _check_rerankers(encoders: Sequence[Manifest], there: Iterable[RerankerManifest]) -> None:
    lacking = {m.fingerprint for m in encoders} - {each.encoder for each in there}
    if lacking:
        raise PackageError(
            f"A profile re-ranks, and the encoder {min(lacking)[:8]} has no re-ranker: train one "
            "with `rocosearch train-reranker`, or leave the profile out."
        )


def _check_distinct(encoders: Sequence[Manifest]) -> None:
    fingerprints = [m.fingerprint for m in encoders]
    if len(set(fingerprints)) < len(fingerprints):
        raise PackageError("The same encoder was named twice.")


def _remove_empty_folders(root: Path) -> None:
    """Pyvespa makes every folder a package may have; keep those with content."""
    for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
