"""Task `logreg`."""

from mmbench.transfer.tasks.logreg import task as task
