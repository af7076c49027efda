"""Target libraries, one module each."""
