"""Exported folders: a recipe with its code, as files that can be read, signed and run elsewhere."""
