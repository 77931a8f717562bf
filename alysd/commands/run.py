"""`alysd run`: runs a node until it is asked to stop."""

import argparse
import gc
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

from alysd.api.stop_signals import StopSignals
from alysd.commands.configuration import add_configuration_arguments, decide_configuration
from alysd.integrations.class_code import kept_class_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd run`."""
    add_configuration_arguments(parser)
    parser.add_argument(
        "--dev-clock",
        action="store_true",
        help="with --dev: make blocks on demand, on a clock that hardhat's and foundry's tests can move; it is "
        "a chain in memory, which exists only in this process",
    )


def run(args: argparse.Namespace) -> int:
    """Run the node; return 0 if it was asked to stop, another status if it failed. Raises `UserError`."""
    begun, early = time.perf_counter(), StopSignals.record()  # the measured start includes the imports below
    with _importing():
        import trio

        from alysd.api.console_log import console_log
        from alysd.config.chain_spec import ChainFiles
        from alysd.config.config_source import ConfigSource, FileState
        from alysd.errors import AlysError, handling, user_error_in
        from alysd.integrations.backup_manifest import use_backup
        from alysd.integrations.data_folder import DataFolder
        from alysd.integrations.open_files import raise_limit
        from alysd.messages.log.base import log
        from alysd.messages.log.process import NodeFailed
        from alysd.nurseries import SystemFailed
        from alysd.validation import RunningChain

        read = None if args.config is None else FileState.of(args.config)  # before the file is read, so that a
        valid = decide_configuration(args)  # change during the start counts
        source = ConfigSource(
            lambda: decide_configuration(args).config,
            args.config,
            RunningChain(ChainFiles(valid.genesis.context.spec, valid.bootnodes)).check,
        )
        _import_node(on_demand=args.dev_clock, embedded=valid.config.engine.mode == "embedded")
    config = valid.config
    raise_limit()
    with console_log(config.logging, sys.stdout, sys.stderr) as process_log:
        try:
            if args.dev_clock:
                from alysd.clock_mode import run_on_demand

                trio.run(run_on_demand, valid, begun, process_log, early)
                return 0
            with DataFolder.open(config.storage.path):
                use_backup(config.storage.path, valid.genesis.context.genesis)
                from alysd.running import run_node

                trio.run(run_node, valid, begun, process_log, early, source, read)
        except (SystemFailed, AlysError) as failure:
            if user_error := user_error_in(failure):
                raise user_error from None
            cause = failure if isinstance(failure, AlysError) else failure.__cause__ or failure
            log(NodeFailed(str(cause) if isinstance(cause, AlysError) else f"{type(cause).__name__}: {cause}"))
            return handling(cause).exit_status
    return 0


def _import_node(*, on_demand: bool, embedded: bool) -> None:
    """Import the modules of the node, which would be imported later, in more time."""
    import_module("alysd.clock_mode" if on_demand else "alysd.running")
    if embedded:
        import_module("alysd.embedded").EmbeddedExecution  # noqa: B018  imported at its first use


@contextmanager
def _importing() -> Generator[None]:
    """Import with the code of classes that earlier starts have kept, and without garbage collections.

    The compilation of the classes would take 30 % of the time, and the collections a tenth. The imported modules
    stay until the process ends, so later collections do not examine them, which would stop the event loop for
    60 ms.
    """
    gc.disable()
    try:
        with kept_class_code():
            yield
    finally:
        gc.freeze()
        gc.enable()
