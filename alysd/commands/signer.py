"""`alysd signer`: signs the federation's payments in a process of its own, on this or another machine."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.api.stop_signals import StopSignals

if TYPE_CHECKING:
    from alysd.signer_process import ReadySigner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd signer`."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the signer's own TOML file")


def run(args: argparse.Namespace) -> int:
    """Sign until a stop signal arrives; return 0. Raises `UserError`, and `Corrupt` for a damaged file."""
    signals = StopSignals.record()
    import trio

    from alysd.api.console_log import console_log
    from alysd.commands.passphrase import passphrase_of
    from alysd.config.operation_sections import LoggingConfig
    from alysd.config.signer_file import read_signer_config
    from alysd.errors import AlysError, user_error_in
    from alysd.messages.log.base import log
    from alysd.messages.log.signer import SignerStopped
    from alysd.nurseries import SystemFailed
    from alysd.signer_process import ready_signer

    config = read_signer_config(args.config, os.environ)
    with (
        ready_signer(config, partial(passphrase_of, config.passphrase_file)) as ready,
        console_log(LoggingConfig(), sys.stdout),
    ):
        try:
            trio.run(_until_signal, ready, signals)
        except SystemFailed as failure:
            cause = user_error_in(failure) or failure.__cause__
            raise cause if isinstance(cause, AlysError) else failure from None
        log(SignerStopped())
    return 0


async def _until_signal(ready: "ReadySigner", signals: StopSignals) -> None:
    import trio

    from alysd.signer_process import run_signer

    with trio.open_signal_receiver(*signals.numbers) as received:
        async with trio.open_nursery() as nursery:

            async def stop_on_signal() -> None:
                async for _ in received:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_on_signal)
            if signals.first is None:
                await run_signer(ready)
            nursery.cancel_scope.cancel()
