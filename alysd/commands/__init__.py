"""The commands of `alysd`, one module each: `add_arguments(parser)` and `run(args) -> exit code`.

A command imports its modules when it runs, so that its --help answers at once.
"""
