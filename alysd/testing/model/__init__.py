"""A supervisor driven by commands, real and in a pure model of it, compared after every step."""
