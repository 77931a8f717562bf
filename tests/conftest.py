"""For all tests: hypothesis measures nothing, since a shared machine may stop any test for a while."""

from hypothesis import settings

settings.register_profile("alysd", deadline=None)
settings.load_profile("alysd")
