"""The index on disk: read, written, merged, checked.

array_file.py    Named arrays in one memory-mapped file, with a checksum for each block
merge_policy.py  Which segments are merged after feeding and removing
snapshot.py      Read the index on disk: generations, segments, checksums
writer.py        Write the index on disk: lock, segments, next generation
"""
