"""Tests against the real systems; each is skipped, with the reason, where its component is not installed."""
