"""How good a set is: networks trained on it, tested on real images, beside what it must beat."""
