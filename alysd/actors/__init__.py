"""The node's actors. Each owns one piece of state or one resource, and uses integrations only through ports."""
