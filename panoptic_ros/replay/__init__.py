"""Replay recorded bags through the pipeline: every frame in order, or live against the clock."""
