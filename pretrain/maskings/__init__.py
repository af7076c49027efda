"""One module per masking; a new file with one decorator adds one."""
