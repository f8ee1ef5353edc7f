"""Synthetic worlds and clips with exact labels."""
