"""The `mmbench` command line: the group of commands and the options that they share."""
