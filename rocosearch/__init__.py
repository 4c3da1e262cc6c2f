"""What a person touches: the command line, the demo, and the jobs that span packages.

The Python API of the same steps is `rocosearch.pipeline`.

application.py             The subcommands as a typer application
classification.py          Classify a corpus's images with an encoder: by prompts alone, from few
cli.py                     The `rocosearch` command: the overview, or the way to the subcommand th
concept_classification.py  Which concepts a corpus's images have, by an encoder: by prompts
console.py                 What a person sees while work goes on and when it is done
demo.py                    The whole line on phantoms, each step by the command that anyone could
encoder_pictures.py        Look inside an encoder: what it learned, what it finds alike, and where
fields.py                  A named field of a record, wherever the record keeps it
forgetting.py              Take a patient out of a corpus and of all indexes and servers that were
guard.py                   Failures of the command line: one sentence and an exit code, never a ba
heat_picture.py            An image with what a text describes in red, as an encoder sees it
embedded_images.py         A corpus's images as an encoder sees them: vectors and features
labelling.py               What an encoder says of every image of a corpus: its concepts, and words
live_parity.py             Two engines that hold the same documents, asked the same: what differs,
mcp_server.py              An index as tools of an agent, by the Model Context Protocol's own SDK
notebook.py                Results and records as a notebook shows them: thumbnails, captions, fea
opening.py                 Indexes and encoders, opened: what a search needs and nothing else, so
options.py                 Options and arguments that several commands share, and how their values
outputs.py                 Where a command may write: said before its work begins, not after
overview.py                What each subcommand is for: the table that `rocosearch --help` prints
pipeline.py                The whole line as functions: what the commands run, and the Python API
saved_hits.py              Hits in a folder: a contact sheet, a table, and a data set that Hugging
searchers.py               A searcher for whatever is searched: an index's folder, or the URL of a
vespa_jobs.py              Jobs against a Vespa server: deploy, feed, compare, swap. The Python AP
why.py                     Why a document was found where it was, or was not found
"""
