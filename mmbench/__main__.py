"""`python -m mmbench`: the `mmbench` command, for launchers that take a module."""

from mmbench.cli.commands import main

main()
