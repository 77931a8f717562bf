"""Model-based tests of supervisors: runs commands on a real tree and on a model, and compares them."""
