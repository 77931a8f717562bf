"""The options of the supervision and of single actors, in a running daemon."""

from pathlib import Path
from typing import Any

from alysd.testing.daemon import daemon


def children_of(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All children of a tree, by their names."""
    found = {tree["name"]: tree}
    for child in tree["children"]:
        found |= children_of(child)
    return found


async def test_a_daemon_has_the_chosen_mailboxes_and_restarts(tmp_path: Path) -> None:
    """The options would be checked, and nothing would use them."""
    settings = ("actors.capacity=auxpow=300", "actors.restart=evidence=60", "monitoring.least_free_mib=1048576")
    async with daemon(tmp_path, *settings) as node:
        status = await node.status()
        children = children_of(status["tree"])
        assert (children["auxpow"]["mailbox"]["capacity"], children["chain"]["mailbox"]["capacity"]) == (300, 1024)
        assert any("MiB are free" in reason for reason in status["health"]["reasons"])
        assert await node.stop() == 0
