"""PyTorch itself, eager or compiled by inductor, on the network that an artifact was exported from."""
