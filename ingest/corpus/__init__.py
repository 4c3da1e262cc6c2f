"""The corpus on disk, and what becomes of rows on their way into it.

corpus.py      The corpus on disk: open it, iterate over records
duplicates.py  Mark duplicate records; nothing is deleted
images.py      Check an image, and compute its perceptual hash
matching.py    The share of images and captions that were matched, and likely causes of a low one
manifest.py    corpus.json: counts, splits and source of a corpus, written last
predictions.py Predicted concepts and pseudo-captions, stored apart from the source's data
records.py     Records, rejected rows, and their Arrow schema
splits.py      Draw splits that keep groups together
tables.py      Checked Parquet files, and clear errors for damaged ones
writer.py      Write a corpus from rows in bounded memory
"""
