"""Links between siblings: which children restart or stop with one that failed, whatever the strategy.

    supervisor("Peer", OneForOne(), [
        actor(connection, Connection),
        actor(session, Session, linked_to=[connection]),
        actor(log, Log),
    ])

`linked_to` names earlier children of the same supervisor. The rules, which tests verify:

1. When a child fails and restarts, the children that are linked to it, directly or through others, stop first and
   start after it, in start order, with their messages kept. This is one restart in the intensity.
2. When a child fails for good, the children that are linked to it stop for good, and handle the rest of their
   mailboxes first.
3. A link has one direction: the failure of a linked child does not concern the child to which it is linked.
4. Only failures count: a child that an operator stops, restarts or removes takes no other child along.
5. A child also depends on the children to which it is linked (`depends_on`): it starts after them and stops before
   them.
"""

from collections.abc import Collection, Iterable

from alysd.nurseries.child import Child


def linked_group(children: Iterable[Child], affected: Collection[Child]) -> list[Child]:
    """The `affected` children and those linked to them, in start order. `children` are all, in start order."""
    group: list[Child] = []
    names = {child.name for child in affected}
    for child in children:  # a link names an earlier child, so one pass finds the links of links
        if child.name in names or not names.isdisjoint(child.spec.linked_to):
            names.add(child.name)
            group.append(child)
    return group
