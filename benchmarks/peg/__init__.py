"""The peg under load: many deposits and requests while members are killed and Bitcoin reorganises."""
