"""A board or its records in the formats of other tools: model cards of the Hub, Weights & Biases, MLflow."""
