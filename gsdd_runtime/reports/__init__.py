"""Pictures of sets."""
