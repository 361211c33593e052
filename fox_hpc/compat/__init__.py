"""Names of other projects' APIs, as thin layers on ours, so that code of theirs runs here."""
