"""The node's interfaces: JSON-RPC, the operator's pages, the control socket, and the log."""
