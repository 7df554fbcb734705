"""Training the networks, and the synthetic world they are trained on."""
