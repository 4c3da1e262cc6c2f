"""One data set layout a file."""
