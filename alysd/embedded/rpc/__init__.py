"""Ethereum JSON-RPC of the embedded engine, with the words and codes of geth, which tools know."""
