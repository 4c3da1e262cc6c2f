"""Open indexes and encoders with few imports."""

from __future__ import annotations

from pathlib import Path

from encoders.base.arguments import typed
from encoders.base.extras import need
from encoders.base.progress import Progress, silent
from encoders.export.graphs import ensure_graphs
from encoders.inference.dual_encoder import DualEncoder
from encoders.inference.onnx_encoder import OnnxEncoder
from encoders.model.manifest import CAPTION_ENCODER, FILE_NAME as ENCODER_FILE, Manifest
from encoders.published.folders import check_folder, is_published, is_text_encoder
from ranking.calibration import CALIBRATION, Calibration
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.store.snapshot import CURRENT
from ranking.profiles.cosine import with_scale
from ranking.profiles.shipped import load_profiles
from ranking.searcher import Searcher

__all__ = [
    "caption_encoder_folder",
    "embedding_encoder",
    "encoder_folder",
    "load_encoder",
    "open_engine",
    "open_searcher",
]

NVIDIA_DRIVER = Path("/proc/driver/nvidia")
WEIGHTS = "model.safetensors"


def encoder_folder(folder: str | Path, progress: Progress = silent) -> Path:
    """The folder itself if it is ours; for a published model its converted one; an index's encoder.

    Raises NoFolderError if there is none, EncoderError if the model cannot be read.
    """
    folder = check_folder(folder)
    if (folder / CURRENT).exists():
        folder = EmbeddedEngine.open(folder).encoder_folder or folder
    if (folder / ENCODER_FILE).exists() or not is_published(folder):
        return folder
    need("torch", "train", f"Converting the published model {folder}")
    from encoders.published.convert import own_folder  # noqa: PLC0415  (loads torch)

    made = own_folder(folder, progress)
    ensure_graphs(made, progress)
    return made


def caption_encoder_folder(
    encoder: Path, given: str | Path | None, progress: Progress = silent
) -> Path | None:
    """The folder of the encoder of captions: the one given, or an index's; None: the encoder's own.

    encoder: the folder of the images' encoder. given: may be a published BERT, or `minilm`. Raises
    as `encoder_folder` does.
    """
    kept = encoder / CAPTION_ENCODER
    folder = kept if kept.is_dir() else None
    if given and is_text_encoder(given):
        need("torch", "train", f"Converting the published model {given}")
        from encoders.published.text_encoder import text_folder  # noqa: PLC0415  (loads torch)

        folder = text_folder(given, progress)
    elif given:
        folder = encoder_folder(given, progress)
        if (folder / CAPTION_ENCODER).is_dir():  # of an index
            folder = folder / CAPTION_ENCODER
    same = folder and Manifest.load(folder).fingerprint == Manifest.load(encoder).fingerprint
    return None if folder is None or same else folder


@typed
def load_encoder(folder: str | Path) -> OnnxEncoder:
    """Load an encoder for queries: its ONNX towers, without torch.

    Raises EncoderError or ManifestError for an invalid folder, NoGraphsError if it has no ONNX
    towers yet.
    """
    folder = Path(folder)
    return OnnxEncoder.load(encoder_folder(folder))


@typed
def embedding_encoder(folder: str | Path, progress: Progress = silent) -> DualEncoder:
    """Load an encoder to embed many images; adds ONNX towers if they are missing.

    Runs on ONNX Runtime, or with torch if it can use an NVIDIA GPU.
    """
    folder = Path(folder)
    folder = encoder_folder(folder, progress)
    ensure_graphs(folder, progress)
    if NVIDIA_DRIVER.exists() and (folder / WEIGHTS).exists():  # an index keeps no weights
        from encoders.model.clip import Encoder, gpu_is_there  # noqa: PLC0415  (loads torch)

        if gpu_is_there():
            return Encoder.load(folder)
    return OnnxEncoder.load(folder)


@typed
def open_engine(index: str | Path, profiles: str | Path | None = None) -> EmbeddedEngine:
    """Open an index, with its own profiles or those of a file."""
    engine = EmbeddedEngine.open(index)
    if profiles:
        folder = engine.encoder_folder
        scale = Manifest.load(folder).logit_scale if folder else 0.0
        engine.profiles = with_scale(load_profiles(profiles, engine.info().attributes), scale)
    return engine


@typed
def open_searcher(
    index: str | Path, *, encoder: str | Path | None = None, profiles: str | Path | None = None
) -> Searcher:
    """Open an index with its own encoder, or with the named one, and its probabilities.

    Raises EngineError if the index's vectors are from another encoder.
    """
    profiles = Path(profiles) if profiles else None
    engine = open_engine(index, profiles)
    folder = encoder or engine.encoder_folder
    searcher = Searcher(engine, load_encoder(folder) if folder else None)
    searcher.calibration = Calibration.read(Path(index) / CALIBRATION)
    return searcher
