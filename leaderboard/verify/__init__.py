"""Whether records are what was measured: digests, paths, per-image outcomes and plausibility."""
