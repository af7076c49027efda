"""Proof that a reading or a conversion changed nothing, and the receipt that says so."""
