"""The only folder that imports torch and stable-baselines3."""
