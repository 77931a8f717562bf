"""The figures of `benchmarks.followers`, from the counters of the kernel."""

from benchmarks.followers import COLUMNS, Totals, connections_of, load_row

LISTING = """\
ESTAB 0      30     127.0.0.1:39265 127.0.0.1:43824 users:(("python",pid=68,fd=25)) bbr rto:220 bytes_sent:2356 \
bytes_acked:2322 bytes_received:2340 segs_out:139 segs_in:131 data_segs_out:78 data_segs_in:87
ESTAB 0      0      127.0.0.1:43824 127.0.0.1:39265 users:(("python",pid=682,fd=8)) bbr bytes_sent:9
ESTAB 0      0      127.0.0.1:39266 127.0.0.1:43825 users:(("python",pid=68,fd=26)) bbr rto:220
"""


def test_the_counters_are_those_of_one_process() -> None:
    """Both ends of a connection on one machine would count, or those of a process with a longer id."""
    assert connections_of(LISTING, 68) == {
        "127.0.0.1:39265 127.0.0.1:43824": (2356, 2340, 78),
        "127.0.0.1:39266 127.0.0.1:43825": (0, 0, 0),
    }


def test_a_row_has_the_means_per_member_and_block() -> None:
    """A connection that has ended would make a member's load negative."""
    before = [
        Totals(1.0, 2.0, {"a": (1000, 2000, 10), "ended": (9999, 9999, 99)}),
        Totals(1.0, 2.0, {"c": (0, 0, 0)}),
    ]
    after = [
        Totals(2.0, 4.0, {"a": (21_000, 42_000, 210), "new": (5, 5, 5)}),
        Totals(2.0, 6.0, {"c": (20_000, 40_000, 200)}),
    ]
    row = load_row(10, 1, 10, before, after).split()
    assert row[:-1] == ["10", "1", "1.0", "20", "2.0", "4.0", "100", "300"]
    assert len(row) == len(COLUMNS)
