"""Classification tasks. One module with one `@task` adds one."""
