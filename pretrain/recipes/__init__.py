"""Recipes: every scale (image size, length) times every method (framework, masking), from two YAML files."""
