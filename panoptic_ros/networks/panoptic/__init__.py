"""Modules between the two halves: what ranks, refines or merges instances with stuff."""
