"""Figures beside a record: features, nearest neighbours, confusion matrices."""
