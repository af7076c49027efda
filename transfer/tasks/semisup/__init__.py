"""Task `semisup`."""

from mmbench.transfer.tasks.semisup import task as task
