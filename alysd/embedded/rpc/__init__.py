"""Ethereum JSON-RPC of the embedded engine, with the error texts and codes of geth, which tools know."""
