"""Transfer of one backbone to classification, detection and segmentation, by versioned protocols."""
