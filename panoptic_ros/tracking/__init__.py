"""Tracking of the instances in successive label images."""
