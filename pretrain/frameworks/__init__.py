"""The frameworks, one module each; importing a module registers its framework."""
