"""What all packages stand on: errors a person reads, progress, files written whole.

errors.py    The one exception a person is meant to read
extras.py    Parts of the installation that only some work needs, and what a missing one stops
printable.py Text of others, fit to be printed
progress.py  How long work tells what it has done, without knowing who watches
storage.py   Files that are either whole or not there: write beside, then rename
"""
