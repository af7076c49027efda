"""Task `dense`: probes on the feature maps of a frozen encoder, scored by the pixels of label maps."""
