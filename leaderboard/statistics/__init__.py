"""Means, intervals, differences, ranks: what can be said about pretrainings from a few runs."""
