"""What the loader is made of: the order of an epoch, decoding ahead, and datasets for an ordinary DataLoader."""
