"""From files to an engine, resumable."""
