"""Training of the package's networks: data, losses, loop and export."""
