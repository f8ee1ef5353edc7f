"""Synthetic worlds with exact labels."""
