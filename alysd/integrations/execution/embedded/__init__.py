"""An execution client inside the node, for development: EELS over tries in LMDB, a transaction pool, reading."""
