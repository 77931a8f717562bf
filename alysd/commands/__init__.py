"""The commands of `alysd`. Each module defines `add_arguments(parser)` and `run(args) -> exit code`.

A command imports large modules only when it runs, so that its --help is fast.
"""
