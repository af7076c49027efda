"""What a suite states: read from YAML, names looked up, settings checked."""
