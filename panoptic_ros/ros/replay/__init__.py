"""Live replay: the bag's player and the evaluator, each a process."""
