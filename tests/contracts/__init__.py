"""Tests of the Solidity contracts and of what was compiled from them."""
