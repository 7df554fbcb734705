"""Does an installed model do what it should? What can be told without its training data, family by family."""
