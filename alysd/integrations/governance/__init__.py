"""The governance stream: gRPC over TLS, and records on disk."""
