"""Data sets as people have them -> rows of a corpus.

open.py              Choose the reader for a path
layouts.py           The layouts of tables and images, recognised from a folder
roco.py              Reader for ROCO as its authors distribute it
tables.py            Combine tables and images to records; used by all layouts except DICOM
joins.py             Further tables about the same rows: which they are, and by what they join
sidecars.py          Captions in files of their own: texts and JSON objects beside images
table.py             Read one table of any format: text, JSON, JSON lines, Parquet, Arrow
text_table.py        Text tables: detect encoding, separator and header
comma_separated.py   Parse rows with commas (RFC 4180), semicolons or bars, also with broken quotes
columns.py           Recognise the columns of a table by name and content
fields.py            Convert a row with known columns to a record
file_index.py        Find files below a folder and in zip archives by path, name or stem
files.py             Resolve untrusted file names safely
archive.py           Read members of untrusted zip archives
modalities.py        The modality from UMLS concepts or DICOM codes
stored_corpus.py     Reader for a corpus written by rocosearch
dicom.py             Reader for folders and zip archives of DICOM files
dicom_files.py       List all files below a folder, including members of zip archives
dicom_captions.py    Captions for DICOM files, from tables and report files
dicomweb.py          Reader for a PACS over DICOMweb: QIDO-RS and WADO-RS (DICOM PS3.18, 10.4, 10.6)
burned_in.py         Detect and mask text burned into the pixels
dicom_record.py      Convert a DICOM file to records, one per selected frame
pseudonyms.py        Keyed pseudonyms, and the mapping back for the owner of the key
phantoms.py          Phantoms: generated, radiology-like images with captions and concepts
phantom_images.py    Images of phantoms: anatomy, finding, then the look of the modality
phantom_captions.py  Captions of phantoms: every attribute once, in random words and order
"""

from ingest.sources.open import FORMATS, open_source

__all__ = ["FORMATS", "open_source"]
