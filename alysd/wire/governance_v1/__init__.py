"""The messages of the governance stream as protobuf: `governance.proto`, and the Python made of it."""
