"""The kit that tests of alysd are written with: virtual time, and fakes of the systems beside the node."""
