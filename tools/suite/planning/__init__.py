"""The cells of a suite: what they wait for, how long they take, and what they need."""
