"""Classification tasks: a package per task, whose `task` module declares it without importing torch."""
