"""The conversion between bytes and values, without I/O."""
