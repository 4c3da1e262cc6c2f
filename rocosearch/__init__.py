"""The user interface: the command line, the demo, and jobs that span packages.

The Python API of the same steps is `rocosearch.pipeline`.

application.py             The subcommands as a typer application
captioning.py              Train a caption decoder on a corpus, and let it describe images
classification.py          Classify the images of a corpus: zero-shot, few-shot, linear probe
cli.py                     The `rocosearch` command: print the overview, or run a subcommand
concept_classification.py  Predict concepts of images: zero-shot, linear probe
console.py                 Output to the terminal: progress and results
demo.py                    The demo: all steps on phantoms, each as an ordinary command
encoder_pictures.py        Plots of an encoder, written by `rocosearch look`
fields.py                  A field of a record by name
forgetting.py              Remove a patient from a corpus, indexes and servers
exit_codes.py              Error handling of the command line: one sentence and an exit code
heat_picture.py            An image with the heat map of a text in red
embedded_images.py         Vectors of a corpus's images, and features before the projection
judging.py                 Judge documents for a query, and export the judgements
labelling.py               Predict concepts and words for every image of a corpus
live_parity.py             Compare two engines on the same queries, and explain differences
mcp_server.py              Search as tools for an agent, by the Model Context Protocol
no_effect.py               Refuse options that would change nothing in a combination
notebook.py                HTML views of results and records for notebooks
open_index.py              Open indexes and encoders with few imports
options.py                 Command-line options shared by several commands, and their parsers
outputs.py                 Checks of output paths before a command starts its work
overview.py                The table of subcommands that `rocosearch --help` prints
pipeline.py                The Python API: all steps as functions
printed_hits.py            Print hits: one ranking, or several side by side; as text or JSON
saved_hits.py              Save hits: contact sheet, table, Hugging Face data set
searchers.py               A searcher for an index folder or the URL of a running Vespa
vespa_jobs.py              Jobs on a Vespa server: deploy, feed, compare, swap
explain.py                 Explain the rank of a document, or why it was not found
"""
