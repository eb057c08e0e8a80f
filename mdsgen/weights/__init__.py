"""Published and self-trained weights, from file to model. PyTorch side."""
