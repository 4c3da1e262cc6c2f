"""Words of near captions, and predicted concepts that find documents but judge none."""

from __future__ import annotations

import numpy as np

from rocosearch.labelling import near_captions

VECTORS = np.array([[1, 0], [0.9, 0.436], [0.8, 0.6], [0, 1]], np.float32)


def test_the_nearest_captions_first_each_once() -> None:
    captions = ["CT chest", "MRI brain", "mri  brain", "knee"]

    found = near_captions(VECTORS, captions, ["0", "1", "2", "3"], 2)

    assert found[0] == "MRI brain knee"  # "mri  brain" is the same caption
    assert found[3] == "mri  brain CT chest"


def test_an_images_own_caption_is_never_taken() -> None:
    found = near_captions(VECTORS, ["own", "copy", "other", ""], ["0", "0", "2", "3"], 3)

    assert found[0] == "other"
    assert found[1] == "other"
    assert found[3] == "other copy own"


def test_no_caption_gives_no_words() -> None:
    assert near_captions(VECTORS, [""] * 4, list("0123"), 5) == [""] * 4
    assert near_captions(VECTORS, ["a"] * 4, list("0123"), 0) == [""] * 4
