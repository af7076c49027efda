"""The images that weights expect: mean, std, size and colour order, and where each is from."""
