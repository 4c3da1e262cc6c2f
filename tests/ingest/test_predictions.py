"""Predictions stand beside the records: by id and image, in fields of their own."""

from __future__ import annotations

from pathlib import Path

from ingest.corpus.predictions import Prediction, Predictions, write_predictions


def test_predictions_come_back_by_id_and_image(tmp_path: Path) -> None:
    found = Prediction(("C1", "C2"), (0.75, 0.5), "axial CT")
    write_predictions(tmp_path, [("a", "00"), ("b", "11")], [found, Prediction()], {"encoder": "x"})

    read = Predictions(tmp_path)

    assert read.of("a", "00") == found
    assert read.of("b", "11") == Prediction()
    assert read.of("a", "another image") == Prediction()
    assert read.of("unknown", "00") == Prediction()


def test_a_corpus_without_predictions_has_none(tmp_path: Path) -> None:
    assert Predictions(tmp_path).of("a", "00") == Prediction()


def test_no_predictions_can_be_written(tmp_path: Path) -> None:
    write_predictions(tmp_path, [], [], {})
    assert Predictions(tmp_path).of("a", "00") == Prediction()
