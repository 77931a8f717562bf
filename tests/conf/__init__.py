"""The files in conf/, as they are shipped."""
