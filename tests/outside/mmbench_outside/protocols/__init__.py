"""Protocol files of this package."""
