"""What probes on frozen features share: the choice on val, the refit, and logistic regression."""
