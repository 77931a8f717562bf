"""What anyone can measure again, each by one command."""
