"""An execution engine that runs EELS over tries in LMDB, and reads of its chain for the RPC."""
