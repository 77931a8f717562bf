"""Records of signed payments that a test opens, and that are closed at its end."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from alysd.integrations.payment_record import PaymentRecord
from alysd.types.hashes import XOnlyKey


@attrs.frozen
class Records:
    """Opens records in `folder`, which are closed with `stack`."""

    folder: Path
    stack: ExitStack

    def open(self, name: str, key: XOnlyKey) -> PaymentRecord:
        """Open a record."""
        record = PaymentRecord.open(self.folder / name, key)
        self.stack.callback(record.close)
        return record

    def make(self, name: str, key: XOnlyKey) -> PaymentRecord:
        """Open a record, and make it first if it is missing."""
        if not (self.folder / name).exists():
            PaymentRecord.create(self.folder / name, key)
        return self.open(name, key)


@contextmanager
def open_records(folder: Path) -> Generator[Records]:
    """Close the records that the test opens."""
    with ExitStack() as stack:
        yield Records(folder, stack)
