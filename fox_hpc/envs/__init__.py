"""Where a recipe runs: threads, processes, or batch jobs."""
