"""One file for each subcommand: `command` (what typer runs) and EXAMPLE (end of its help).

They read options, call `rocosearch.pipeline` and show what came of it. Heavy imports stand
inside the functions, so that `--help` answers at once.
"""
