"""Published weights, or a trained network → a model folder that has proved itself."""
