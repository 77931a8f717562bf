"""The transaction pool of the embedded engine."""
