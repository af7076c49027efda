"""The architectures that weights belong to, recognised, built and described."""
