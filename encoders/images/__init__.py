"""From the bytes of an image, DICOM included, to the numbers that a tower sees.

dicom.py           One frame of a DICOM file as an 8-bit image, "L" or "RGB"
dicom_greys.py     From a DICOM file's stored values to greys, the way a viewer would first sh
dicom_preamble.py  How a DICOM file is told from others, without loading what reads it
limits.py          What every decoder of images keeps to: limits, one kind of error, one windo
preprocess.py      From the bytes of an image to the numbers a tower sees; every choice goes t
"""
