"""From label images to the ground: projection, fusion over time, pictures."""
