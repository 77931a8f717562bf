"""The commands of `alysd`, one module each: `add_arguments(parser)` and `run(args) -> exit code`.

What a command needs is imported when it runs, so that its --help answers at once.
"""
