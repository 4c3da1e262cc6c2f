"""The table of subcommands that `rocosearch --help` prints.

It imports neither typer nor rich, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["COMMANDS", "HELP", "overview"]

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "From files to a report": {
        "corpus": "Read captioned images into a corpus: Parquet files and a manifest.",
        "train": "Train a CLIP on the image-caption pairs of a corpus.",
        "index": "Embed the images of a corpus and build an index.",
        "search": "Search an index or a running Vespa by text, image or example documents.",
        "serve": "Serve the search page and its API from this machine until Ctrl-C.",
        "eval": "Compare lexical, vector and hybrid ranking on held-out queries.",
    },
    "Better rankings": {
        "tune": "Tune the weights of the hybrid and learned profiles on a development split.",
        "calibrate": "Fit the probability that a hit is right, on a held-out split of an index.",
        "synonyms": "Learn a synonym file from the concepts of the training split.",
        "train-reranker": "Train a re-ranker: the tokens of a text attend to the patches of an "
        "image.",
        "compare": "Compare two reports: which figures rose or fell by more than noise.",
    },
    "Vespa": {
        "app": "Write the Vespa application package with the evaluated encoder and profiles.",
        "deploy": "Deploy a package to Vespa and wait until it answers queries.",
        "feed": "Sync a server or an index with the corpus, sending only changes.",
        "parity": "Compare the results of an index and a running Vespa, and explain differences.",
        "doctor": "Diagnose a Vespa server: version, application, documents, free space.",
        "plan": "Estimate memory, disk, nodes and hours of feeding for a Vespa cluster.",
        "swap": "Replace the encoder of a running search, step by step.",
    },
    "More": {
        "mcp": "Serve tools to an agent by the Model Context Protocol, on stdin and stdout.",
        "look": "Draw learning curves, similarities, neighbours and heat maps of an encoder.",
        "classify": "Classify held-out images: zero-shot by prompts, few-shot, and with a linear "
        "probe.",
        "train-decoder": "Train a decoder that describes images on the captions of a corpus.",
        "label": "Predict concepts and words for every image, and store them in the corpus.",
        "embed": "Compute the missing image vectors of a corpus; index and feed do this too.",
        "judge": "Keep relevance judgements beside the corpus, or export them as TREC qrels.",
        "source": "Print the DICOM file and frame of a hit.",
        "forget": "Remove a patient from a corpus, its vectors, indexes and servers.",
        "demo": "Run corpus, train, index, search, eval and app, on phantoms or your own data.",
    },
}
"""Panel -> command -> the first line of its help."""

HELP = ("-h", "--help")


def overview() -> str:
    """What `rocosearch --help` prints."""
    lines = [
        "Usage: rocosearch COMMAND [OPTIONS] [ARGUMENTS]",
        "",
        "Search engine for captioned radiology images: train a CLIP on your own pairs, rank",
        "with BM25, vectors or both, evaluate the rankings, and deploy the best to Vespa.",
        "",
        "The usual order: corpus, train, index, then search or serve, eval and app.",
        "Try demo first: without data, or on yours. rocosearch COMMAND --help explains a command.",
    ]
    for panel, commands in COMMANDS.items():
        lines += ["", f"{panel}:"]
        lines += [f"  {name:<14} {summary}" for name, summary in commands.items()]
    return "\n".join([*lines, "", "Exit codes: 0 success, 1 failure, 2 wrong usage."])
