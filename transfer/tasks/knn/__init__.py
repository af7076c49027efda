"""Task `knn`."""

from mmbench.transfer.tasks.knn import task as task
