"""The testing kit of alysd: virtual time, stand-ins for actors, fakes of external systems, and faults."""
