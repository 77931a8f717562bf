"""A chain whose blocks are made on demand, on a virtual clock: `alysd run --dev-clock`."""
