"""Options of every command that reads a checkpoint."""

from __future__ import annotations

from typing import get_args

import click

from mmbench.checkpoints.format import Encoder

arch_option = click.option("--arch", help="timm name, where names and shapes do not determine it.")
encoder_option = click.option(
    "--encoder",
    type=click.Choice(get_args(Encoder)),
    default="default",
    help="Of two encoders in a file: momentum (MoCo's key, DINO's teacher, an EMA) or online (MoCo's query, "
    "DINO's student). By default online, and of DINO the teacher.",
)
