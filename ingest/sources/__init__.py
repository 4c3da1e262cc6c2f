"""Data sets as people have them -> rows of a corpus.

open.py              Which reader fits a path
layouts.py           The layouts of tables and images, each as the parts that it makes of a folder
roco.py              ROCO as its authors distribute it, as parts
tables.py            Rows of tables, with further tables and images -> records
table.py             One table of any kind: text, JSON, JSON lines, Parquet, Arrow
text_table.py        Tables in text files: which encoding, which separator, whether a header
comma_separated.py   Separated rows of files whose quotes may be broken
columns.py           Which column of a table is what
fields.py            The values of a row, whose columns are known -> a record
file_index.py        Every file below a folder, zip members included, by path, name or stem
files.py             Names that somebody else wrote, and the files they lead to
archive.py           Members of zip archives, read without trusting what the archive says
modalities.py        The modality that UMLS concepts, or DICOM's codes, tell of
stored_corpus.py     A corpus that this project wrote, as a source
dicom.py             A folder of DICOM files as a PACS exports it
dicom_files.py       Every file below a folder and in its archives, one after another
dicom_captions.py    Captions beside DICOM files: rows of any table, and report text files
dicomweb.py          Instances of a PACS over DICOMweb
burned_in.py         Text burnt into pixels: where it stands, and an image without it
dicom_record.py      One DICOM file becomes a record
pseudonyms.py        Pseudonyms under a key, and the way back for its owner
phantoms.py          Drawn images with captions, as a source
phantom_images.py    The drawing
phantom_captions.py  The words
"""

from ingest.sources.open import FORMATS, open_source

__all__ = ["FORMATS", "open_source"]
