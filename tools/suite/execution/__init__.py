"""Cells carried out: workers, locks, losses, Slurm, and trainings over several processes."""
