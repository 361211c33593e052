"""What a scheduler is asked, and what it says. Its heart is pure; only `commands` starts a process."""
