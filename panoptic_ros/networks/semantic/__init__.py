"""Semantic heads on a feature pyramid."""
