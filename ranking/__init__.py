"""What relevant means, and an engine in this process that computes it."""
