"""What a person touches: the command line, the demo, and the jobs that span packages.

The Python API of the same steps is `rocosearch.pipeline`.
"""
