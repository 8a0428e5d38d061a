"""Gaussians to images: the native op, the tiled CUDA path, the float64 reference, and what they share."""
