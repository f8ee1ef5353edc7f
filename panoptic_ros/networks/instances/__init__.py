"""Instance heads on a feature pyramid."""
