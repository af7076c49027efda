"""Types of command-line options that several commands share; their ranges are those of the settings."""

from __future__ import annotations

import click

from mmbench.settings_types import (
    LARGEST_IMAGE,
    LARGEST_SEED,
    MOST_EPOCHS,
    MOST_THREADS,
    MOST_WORKERS,
)

SEED = click.IntRange(0, LARGEST_SEED)
THREADS = click.IntRange(1, MOST_THREADS)
WORKERS = click.IntRange(0, MOST_WORKERS)
EPOCHS = click.IntRange(1, MOST_EPOCHS)
IMAGE_SIZE = click.IntRange(8, LARGEST_IMAGE)
