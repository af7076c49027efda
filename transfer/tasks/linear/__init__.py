"""Task `linear`."""

from mmbench.transfer.tasks.linear import task as task
