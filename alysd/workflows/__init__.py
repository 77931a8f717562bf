"""The order of steps: each workflow is a table of transitions and the steps that cause them."""
