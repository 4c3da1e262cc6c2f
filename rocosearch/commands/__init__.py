"""One file for each subcommand: `command` (what typer runs) and EXAMPLE (end of its help).

They read options, call `rocosearch.pipeline` and print the result. Heavy imports are inside the
functions, so that `--help` is fast.
"""
