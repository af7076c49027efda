"""Training by SGD: settings, learning-rate schedule and finetuning of every layer."""
