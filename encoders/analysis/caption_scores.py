"""How close generated captions come to those of people: BLEU, ROUGE-L, CIDEr.

By the libraries of the extra `captions`: sacrebleu, rouge-score and pycocoevalcap, whose CIDEr
(CIDEr-D, Vedantam et al. 2015) is the one that published figures are computed with. There it is
preceded by a tokenizer in Java; here all three see lower-case words without punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from encoders.base.extras import need

__all__ = ["CaptionScores", "caption_scores"]


@dataclass(frozen=True)
class CaptionScores:
    """BLEU-4 of the corpus, 0 to 100; mean F1 of ROUGE-L, 0 to 1; mean CIDEr-D, 0 to 10."""

    bleu: float
    rouge_l: float
    cider: float


def caption_scores(generated: Sequence[str], true: Sequence[str]) -> CaptionScores:
    """Scores of captions against one true caption each; raises MissingExtraError."""
    for module in ("sacrebleu", "rouge_score", "pycocoevalcap"):
        need(module, "Scoring captions")
    from pycocoevalcap.cider.cider import Cider  # noqa: PLC0415
    from rouge_score.rouge_scorer import RougeScorer  # noqa: PLC0415
    from sacrebleu import corpus_bleu  # noqa: PLC0415

    found, right = ([_words(text) for text in texts] for texts in (generated, true))
    rouge = RougeScorer(["rougeL"])
    common = [rouge.score(a, b)["rougeL"].fmeasure for a, b in zip(right, found, strict=True)]
    cider, _ = Cider().compute_score(
        {n: [text] for n, text in enumerate(right)}, {n: [text] for n, text in enumerate(found)}
    )
    bleu = corpus_bleu(found, [right], tokenize="none").score
    return CaptionScores(bleu, sum(common) / len(common), float(cider))


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
