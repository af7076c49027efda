"""Data sets by name: one module per data set, or per library that reads several."""
