"""What all packages stand on: errors a person reads, progress, files written whole.

arguments.py  What a person names: arguments of the right type, files read within limits
errors.py     UserError: the base of all errors that the user can correct; Notice: of warnings
extras.py     Optional dependencies (extras), and the error for a missing one
parquet.py    Parquet files of which every part has a checksum
printable.py  Make untrusted text safe to print: no control characters, no hidden text
progress.py   The interface by which work reports its progress
storage.py    Atomic, synced and private writes of files and folders
"""
