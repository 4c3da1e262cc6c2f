"""How good the ranking is, with honest statistics."""
