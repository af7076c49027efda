"""Earlier place of the types in `mmbench.cli.options`."""

from mmbench.cli.options import EPOCHS, IMAGE_SIZE, SEED, THREADS, WORKERS

__all__ = ["EPOCHS", "IMAGE_SIZE", "SEED", "THREADS", "WORKERS"]
