"""What changed between two boards, and whether it matters."""
