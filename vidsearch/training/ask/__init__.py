"""Training of the model that answers questions, on the synthetic world."""
