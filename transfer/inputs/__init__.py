"""What tasks are fed: images, training batches, and frozen features."""
