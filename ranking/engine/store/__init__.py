"""The index on disk: read, written, merged, checked.

array_file.py    Named arrays in one file, read through one memory map
merge_policy.py  Feeding and removing as changes to the list of segments: small ones added, me
snapshot.py      The index on disk, as it is read: a folder that is always whole, through memo
writer.py        Changes to the index on disk: one writer at a time, and the next generation p
"""
