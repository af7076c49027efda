"""Measure a vision transformer with random weights: `python evaluate_vit.py [DATA]`."""

import sys

import timm

import mmbench

data = sys.argv[1] if len(sys.argv) > 1 else "patterns"
model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
for result in mmbench.evaluate(model, ["knn", "linear"], data, name="vit-tiny-random"):
    metric = result.metrics[result.primary_metric]
    print(f"{result.task}: {result.primary_metric} {metric.value:.2f}, {metric.n} images")
