"""Task `lowshot`."""

from mmbench.transfer.tasks.lowshot import task as task
