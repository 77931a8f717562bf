"""Values and units that every floor of the house speaks in. No I/O, no rules."""
