"""The `mmbench` command line: the group of commands and the options that they share.

`main(["transfer", ...])` runs it from Python.
"""

from mmbench.cli.commands import main

__all__ = ["main"]
