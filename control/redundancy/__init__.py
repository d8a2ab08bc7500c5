"""Parallel systems with one objective: who is a member, whom to believe, and what to do when one fails."""
