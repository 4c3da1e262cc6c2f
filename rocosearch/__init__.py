"""What a person touches: command line, demo, reports."""
