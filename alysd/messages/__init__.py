"""What actors may be told, one module an actor. An actor imports other actors' messages, never other actors."""
