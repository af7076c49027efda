"""Facts about the contents of many files, read once and stored."""
