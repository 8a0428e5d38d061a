"""Training a network on a distilled set, and the augmentation that the field trains with."""
