"""`python -m mmbench`: the `mmbench` command, for launchers that want a module."""

from mmbench.cli.main import main

main()
