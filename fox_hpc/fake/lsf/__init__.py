"""The face of LSF."""
