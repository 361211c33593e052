"""Slurm's face of the fake cluster: its options, words, formats and exit codes, as those of 22.05."""
