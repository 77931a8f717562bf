"""A simulated federation: whole nodes on virtual time, with a simulated network and simulated disks."""
