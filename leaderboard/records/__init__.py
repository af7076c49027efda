"""From record files to one tidy table, checked for what does not compare."""
