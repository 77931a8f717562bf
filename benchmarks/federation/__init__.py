"""Daemons of a federation on this machine, joined by slow links, that lose members and find back."""
