"""The protocol files."""
