"""Functions once more: independent of the library, in plain Python, slow, and hard to get wrong."""
