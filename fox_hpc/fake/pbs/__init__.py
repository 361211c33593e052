"""The fake PBS: OpenPBS's programs over the engine."""
