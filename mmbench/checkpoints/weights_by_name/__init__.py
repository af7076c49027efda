"""Weights by name, loaded by the libraries that know them: timm, torchvision and the model hub."""
