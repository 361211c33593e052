"""Exit codes by which a site's processes say why they ended."""

#: The ranks could not start: trying again would fail again.
EXIT_NO_START = 3
#: The ranks were no longer in step, or rank 0 was gone.
EXIT_RANKS = 4
#: The process was out of touch with its relay for longer than the lease allows.
EXIT_LEASE = 5
