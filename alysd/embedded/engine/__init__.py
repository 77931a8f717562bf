"""An execution engine that runs EELS over tries in LMDB, and a reader of its chain for the RPC."""

from alysd.embedded.deferred_contracts import defer_contracts

defer_contracts()  # before any module of the engine imports the specification
