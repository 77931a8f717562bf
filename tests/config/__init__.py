"""Tests of the configuration and of its error messages."""
