"""A killed backup leaves a snapshot in LMDB's table of readers, which must not let the file grow for good."""

import subprocess
import sys
from pathlib import Path

from alysd.integrations.lmdb_records import Records, RecordTransaction

READER = """
import os, signal, sys
from pathlib import Path
from alysd.integrations.lmdb_snapshot import open_snapshot
with open_snapshot(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_reader(folder: Path) -> None:
    """Let a process die while it has a snapshot."""
    ran = subprocess.run([sys.executable, "-c", READER, str(folder)], capture_output=True, check=False)
    assert ran.returncode == -9, ran.stderr


def test_a_killed_backup_does_not_let_the_database_grow_for_good(tmp_path: Path) -> None:
    records = Records.open(tmp_path, ("table",), map_bytes=2**20)

    def write(txn: RecordTransaction) -> None:
        txn.put("table", b"key", bytes(100_000))

    records.write(write)
    kill_a_reader(tmp_path)
    for _ in range(200):
        records.write(write)
    records.close()
    assert (tmp_path / "data.mdb").stat().st_size < 2 * 2**20, "200 versions of the record would have 20 MB"
