"""The values and units that every package of the node uses. They contain no I/O and no protocol rules."""
