"""Traces of executed messages, with the results of geth's tracers."""
