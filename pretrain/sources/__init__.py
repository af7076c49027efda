"""Where a run's images come from: memory, or files that worker processes decode and crop."""
