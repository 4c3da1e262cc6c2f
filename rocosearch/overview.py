"""What each subcommand is for: the table that `rocosearch --help` prints.

It needs neither typer nor rich, so that the overview is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["COMMANDS", "HELP", "overview"]

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "From files to a report": {
        "corpus": "Read captioned images into a corpus: Parquet files and a manifest.",
        "train": "Train a CLIP (image tower, text tower, one space) on the corpus's training "
        "split.",
        "index": "Build a searchable snapshot of a corpus.",
        "search": "Search an index, or a running Vespa, by text, by image, by examples, or by all.",
        "serve": "Search with pictures: a page in your browser, served from this machine until "
        "Ctrl-C.",
        "eval": "Compare lexical, vector and hybrid ranking on held-out queries.",
    },
    "Better rankings": {
        "tune": "Choose the weights of the hybrid and learned profiles on a development split.",
        "compare": "Say what rose and what fell from the first report to the second, beyond noise.",
    },
    "Vespa": {
        "app": "Write the Vespa application package: what was evaluated is what is deployed.",
        "deploy": "Deploy, wait until it serves, and say in Vespa's own words what failed.",
        "feed": "Feed what the target lacks; nothing is lost, and nothing sent without need.",
        "parity": "Ask an index and a live Vespa the same, and say where they differ and why.",
        "doctor": "Ask a server for its version, application, documents and room, and say what is "
        "wrong.",
        "plan": "Estimate memory, disk, nodes and hours of feeding for a Vespa cluster.",
        "swap": "Change the encoder of a running search: start, backfill, shadow, switch, finish; "
        "rollback goes one step back.",
    },
    "More": {
        "mcp": "Serve tools to an agent by the Model Context Protocol, on stdin and stdout.",
        "look": "Draw four pictures into OUT: what the encoder learned, and what it looks at.",
        "classify": "Classify held-out images: zero-shot by prompts, few-shot, and with a linear "
        "probe.",
        "label": "Predict concepts and words for every image, and keep them in the corpus.",
        "embed": "Embed the images that this encoder has not embedded yet; index and feed do it "
        "too.",
        "source": "Tell which file, and which frame of it, a hit was read from.",
        "forget": "Remove a patient from a corpus, its vectors, indexes and servers.",
        "demo": "Do the whole job on phantoms: corpus, train, index, search, eval, app.",
    },
}
"""Panel -> command -> the first line of its help."""

HELP = ("-h", "--help")


def overview() -> str:
    """What `rocosearch --help` prints."""
    lines = [
        "Usage: rocosearch COMMAND [OPTIONS] [ARGUMENTS]",
        "",
        "Search over captioned radiology images: train a CLIP on your own pairs, rank with BM25,",
        "vectors or both, measure which serves best, and write it all out for Vespa.",
        "",
        "The usual order: corpus, train, index, then search or serve, eval and app.",
        "Try demo first: it needs no data. rocosearch COMMAND --help explains a command.",
    ]
    for panel, commands in COMMANDS.items():
        lines += ["", f"{panel}:"]
        lines += [f"  {name:<9} {summary}" for name, summary in commands.items()]
    return "\n".join([*lines, "", "Exit codes: 0 done, 1 the job failed, 2 wrong usage."])
