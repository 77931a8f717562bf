"""What a person configures, and what they are told when it is wrong."""
