"""Programs that use the packages of alysd, each with its tests in tests/examples."""
