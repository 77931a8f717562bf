"""The kit for tests of alysd: virtual time, stand-ins for actors, fakes of other systems, and faults."""
