"""Executing blocks with EELS over tries in LMDB, behind the port of an execution engine; reading the chain."""
