"""From the bytes of an image, DICOM included, to the numbers that a tower sees.

dicom.py           One frame of a DICOM file as an 8-bit image, "L" or "RGB"
dicom_greys.py     DICOM grey values: rescale, lookup tables, windows
dicom_preamble.py  Recognise DICOM files without importing pydicom
limits.py          Limits and errors shared by all image decoders
preprocess.py      Preprocess an image to the input of a tower
"""
