"""The same rank profiles inside Vespa."""
