"""How well instances keep their identities over a drive."""
