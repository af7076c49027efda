"""OpenMMLab configurations inside checkpoints, and the networks that its libraries build from them."""
