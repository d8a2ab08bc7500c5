"""MJCF models: data only."""
