"""An execution engine that runs EELS over tries in LMDB, and a reader of its chain for the RPC."""
