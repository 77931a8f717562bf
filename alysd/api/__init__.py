"""The interfaces that the node offers: JSON-RPC, Ethereum RPC of the embedded engine, pages for operators."""
