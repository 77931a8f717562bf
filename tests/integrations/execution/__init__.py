"""Tests of alysd.integrations.execution."""
