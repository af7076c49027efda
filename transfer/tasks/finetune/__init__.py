"""Task `finetune`."""

from mmbench.transfer.tasks.finetune import task as task
