from __future__ import annotations

import numpy as np
import pytest

from eval.pool import Pool


def make_pool(rows, **changes):
    """A pool of (caption, group, concepts) rows, ids d00, d01, ..."""
    count = len(rows)
    columns = {
        "ids": tuple(f"d{row:02d}" for row in range(count)),
        "captions": tuple(caption for caption, _, _ in rows),
        "concepts": tuple(tuple(concepts) for _, _, concepts in rows),
        "concept_names": tuple(tuple(f"name {c}" for c in concepts) for _, _, concepts in rows),
        "groups": tuple(group for _, group, _ in rows),
        "group_kinds": tuple("case" if group else "none" for _, group, _ in rows),
        "modalities": ("",) * count,
        "asking": np.ones(count, bool),
        "has_vector": np.ones(count, bool),
        "split": "test",
    }
    return Pool(**{**columns, **changes})


@pytest.fixture
def pool():
    return make_pool(
        [
            ("Axial CT of the left lung", "A", ["lung", "ct"]),
            ("axial CT of the left lung.", "A", ["lung", "ct"]),
            ("Coronal CT of the same lung", "A", ["lung"]),
            ("Brain MRI", "B", ["brain"]),
            ("Sagittal brain MRI with a lesion", "B", ["brain", "lesion"]),
            ("?!", "", []),
            ("Chest radiograph with nodules seen", "", ["lung"]),
        ]
    )
