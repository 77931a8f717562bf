"""The messages to actors, one module per actor. An actor imports other actors' messages, never other actors."""
