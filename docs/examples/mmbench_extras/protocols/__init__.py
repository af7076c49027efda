"""Protocol files of the tasks of this package."""
