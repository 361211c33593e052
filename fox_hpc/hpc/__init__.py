"""What a scheduler is asked, and what it says. Its heart is pure; only `executor` starts a process."""
