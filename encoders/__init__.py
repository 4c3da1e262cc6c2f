"""Image or text to vector. Knows nothing of search."""
