"""The corpus on disk, and what becomes of rows on their way into it.

corpus.py      The corpus on disk: Parquet parts, what was rejected, and a manifest written la
duplicates.py  Which records repeat another. Duplicates are marked, never deleted: that is for
images.py      Whether an image can be used, and its perceptual hash
matching.py    Whether images and captions found each other, and what is likely wrong
manifest.py    `corpus.json`: what a corpus holds and where it came from. Written last, it mak
predictions.py What an encoder says of a corpus's images, kept apart from what the source says
records.py     One record of a corpus, what became of rows that are none, and their Arrow sche
splits.py      Which record goes into which split, never splitting a group
tables.py      Parquet as a corpus uses it: every page with a checksum, every fault of a file in
writer.py      Rows become Parquet parts, in bounded memory; what cannot be used is written do
"""
