"""Deadlines and intervals that depend on the slot length, on each other or on the health check, in seconds.

The docstring of each value says how it is derived. tests/test_timing.py asserts the inequalities between them for
slots of 1 to 60 s. A deadline that depends on none of these is a constant of the module that uses it.
"""

import attrs


@attrs.frozen
class EngineDeadlines:
    """Deadlines of calls to the execution client, each from connecting to the last byte of the answer.

    `build` covers three steps: the forkchoice update with attributes, the pause `fill`, and fetching the payload.
    During `fill` the client adds transactions to the payload.
    """

    build: float
    fill: float
    new_payload: float
    forkchoice: float
    lookup: float
    receipts: float


@attrs.frozen
class Timing:
    """The deadlines and intervals of a node whose slots last `slot_seconds`.

    The speed of the disk and the execution client does not depend on the slot length. Deadlines that add up while
    one message is handled therefore grow with the slot length only up to slots of 2 s (`pace`). Their sum stays
    below `stuck` for every slot length.

    `patience` is the operator's factor for a slow machine. It multiplies the deadlines that depend neither on the
    slot length nor on a person who waits, and `stuck` with them, so that their order stays the same.
    """

    slot_seconds: float
    patience: int = 1

    @property
    def pace(self) -> float:
        """The slot length, but at most 2 s. The deadlines within the handling of a message are fractions of it."""
        return min(self.slot_seconds, 2.0)

    # Block production

    @property
    def slot_work(self) -> float:
        """Deadline of the work on a slot: 95 % of the slot, so that the next slot starts on time."""
        return 0.95 * self.slot_seconds

    @property
    def slot_ask(self) -> float:
        """Deadline of block production's asks: a whole slot. It never passes, because `slot_work` is shorter."""
        return float(self.slot_seconds)

    @property
    def work_ask(self) -> float:
        """Deadline of the ask for a queued proof of work: 15 % of `pace`. If it passes, the block has no proof."""
        return 0.15 * self.pace

    @property
    def bridge_ask(self) -> float:
        """Deadline of asks to the bridge: 15 % of `pace`. If it passes, the block has no contents of the peg."""
        return 0.15 * self.pace

    @property
    def proposal_search(self) -> float:
        """The time for which the bridge waits for a proposal: 5 % of `pace`, a third of `bridge_ask`.

        The bridge then compares an older proposal with the ledger, for as long again. The last third of
        `bridge_ask` is for the other contents.
        """
        return 0.05 * self.pace

    # Approval

    @property
    def late_quorum(self) -> float:
        """The time for which an author waits for the quorum of the block of the slot before: an eighth of a slot.

        The protocol allows this ("Proposals"): a block on the wrong parent would be lost, or abandon another.
        """
        return self.slot_seconds / 8

    @property
    def quorum_wait(self) -> float:
        """The time from the start of a slot until its author is told that its block has no quorum.

        It is less than `slot_work`, so that the slot's report can name the silent authorities.
        """
        return 0.9 * self.slot_seconds

    @property
    def candidate_execution(self) -> float:
        """Deadline of the execution of a candidate before its approval: 70 % of `pace`.

        A longer execution would hold up the next slot. If others approve the block, block import executes it. The
        deadline is below that of a call of `engine_in_slot`, because a call that takes too long counts as a
        failure of the client, and the author of the candidate decides how long its execution takes.
        """
        return 0.7 * self.pace

    @property
    def approval_import(self) -> float:
        """Deadline of approval's `ImportBlock`: an execution, a write and a lookup. A slower import goes on."""
        return self.execution + self.chain_write + self.chain_lookup

    # The network

    @property
    def proposal_wait(self) -> float:
        """The time for which a proposal may arrive later than an approval of its block: a tenth of `pace`.

        Then the node asks for the proposal. Gossip of 200 KB takes 0.04 s to reach the other nodes of a continent.
        """
        return self.pace / 10

    @property
    def sync_import(self) -> float:
        """Deadline of sync's `ImportRange`.

        Block import begins executions for `feed_piece`, and the last may take `execution`. A write, three lookups
        and a change of the head follow.
        """
        return self.feed_piece + self.execution + self.chain_write + 3 * self.chain_lookup + self.head_update

    # Answers from memory and disk

    @property
    def chain_lookup(self) -> float:
        """Deadline of asks that the chain actor answers from memory: half of `pace`, to leave time for a block."""
        return self.pace / 2

    @property
    def local_answer(self) -> float:
        """Deadline of the asks of finality and the internal miner: `pace`. Each ask causes at most one read."""
        return self.pace

    @property
    def chain_write(self) -> float:
        """Deadline of block import's `AdoptBlock` and `AdoptBlocks`, which take one synced write: `pace`."""
        return self.pace

    @property
    def storage_read(self) -> float:
        """Deadline of the engine actor's reads. Reading all blocks above the last final one takes about 0.1 s."""
        return 5.0 * self.patience

    @property
    def storage_write(self) -> float:
        """Deadline of the chain actor's requests to storage, below `stuck`. A slower disk counts as failed."""
        return 10.0 * self.patience

    @property
    def mining_handler(self) -> float:
        """Deadline of a handler of the merged-mining actor: four times that of an ask to the chain actor.

        The health monitor checks this actor only every 10 s. A handler makes at most three such
        asks. Without this deadline, miners could wait for a minute.
        """
        return 4 * self.chain_lookup

    @property
    def offer_life(self) -> float:
        """The time for which an offer is kept after it was last requested. Pools ask at least every minute."""
        return 900.0

    @property
    def work_renewed(self) -> float:
        """The time for which a miner gets the same work although there are new blocks.

        New work makes a pool restart its workers, which costs them some tenths of a second.
        """
        return 10.0

    # The execution client

    @property
    def engine_in_slot(self) -> EngineDeadlines:
        """Deadlines of calls during a slot: half of the slot to build, 75 % of `pace` to execute.

        For comparison: geth takes 0.01 s for an empty payload and 0.12 s for 1,000 transfers; EthereumJS takes
        0.3 s and, for 200 transfers, 0.6 s. A payload that geth returns at once is empty; after 0.02 s it contains
        1,000 transfers (21 million gas). A `fill` of a tenth of `pace` is also enough for calls of contracts.
        """
        return EngineDeadlines(
            build=min(self.slot_seconds / 2, self.engine_call),
            fill=self.pace / 10,
            new_payload=0.75 * self.pace,
            forkchoice=0.75 * self.pace,
            lookup=self.pace / 2,
            receipts=0.75 * self.pace,
        )

    @property
    def engine_catching_up(self) -> EngineDeadlines:
        """Deadlines of calls that send missing blocks to the client between slots: mostly `engine_call`."""
        return EngineDeadlines(
            build=self.engine_in_slot.build,
            fill=self.engine_in_slot.fill,
            new_payload=self.engine_call,
            forkchoice=self.engine_call,
            lookup=2.0 * self.patience,
            receipts=self.engine_call,
        )

    @property
    def engine_call(self) -> float:
        """The longest deadline of a call to the client.

        The slowest call measured took 2.4 s: on a busy machine, EthereumJS set its head to a block of 100
        transfers that another client had built. A client that has lost states executes blocks again during such a
        call. It continues after the deadline, so that the next call takes less time.
        """
        return 12.0 * self.patience

    @property
    def execution(self) -> float:
        """The longest wait of block import for the execution of a block, usually far less than a second.

        It covers all calls of one execution, and the time that the engine actor needs for an earlier message.
        """
        return 12.0 * self.patience

    @property
    def head_update(self) -> float:
        """The longest wait of block import until the client's head is set. The next block sets it again."""
        return self.pace

    @property
    def feed_piece(self) -> float:
        """The time for which one `CatchUp` message sends missing blocks to the client: 15 % of `pace`.

        In this time geth imports about 20 blocks, and a payload and an import still fit into the slot.
        """
        return 0.15 * self.pace

    @property
    def engine_handler(self) -> float:
        """Deadline of a handler of the engine actor, between `engine_call` and `stuck`."""
        return 15.0 * self.patience

    @property
    def engine_pause(self) -> float:
        """The time for which the engine actor is down while its circuit breaker is open: twice `pace`."""
        return 2 * self.pace

    # Two execution clients

    @property
    def failover_check(self) -> float:
        """Deadline of the call that shows, before each request of a slot, that the client in use does not hang.

        A quarter of `pace`, so that the other client can serve the request within the same slot. The call reads
        one header, which takes milliseconds.
        """
        return self.pace / 4

    @property
    def failover_build(self) -> float:
        """The time that one of two clients has to build: `engine_in_slot.build`, but at most 1.5 times `pace`."""
        return min(self.engine_in_slot.build, 1.5 * self.pace)

    @property
    def failover_execute(self) -> float:
        """The time that one of two clients has to execute a payload: the deadlines of its two calls."""
        return self.engine_in_slot.new_payload + self.engine_in_slot.receipts

    @property
    def failover_hold(self) -> float:
        """The time for which a client that has failed must be level before it is used again: ten times `pace`."""
        return 10 * self.pace

    @property
    def failover_longest_hold(self) -> float:
        """The longest hold. The hold doubles if the client fails within this time after it was used again."""
        return 600.0

    @property
    def dual_path_floor(self) -> float:
        """The mean time per block below which a compared client is never too slow: a quarter of `pace`.

        One client often takes many times as long as another, which harms no block while both are fast.
        """
        return self.pace / 4

    @property
    def embedded_build(self) -> float:
        """The time for which the embedded engine executes transactions for one payload: half of `pace`.

        The limit also ensures that other nodes can execute the block within `execution`.
        """
        return self.pace / 2

    # Health checks

    @property
    def health_answer(self) -> float:
        """Deadline of the answer to a health check; also the interval between checks of a critical actor.

        As the deadline equals the interval, checks follow each other without gaps. Several checks in a row fail
        only if the actor handles a single message during all of them.
        """
        return 5.0

    @property
    def health_checks(self) -> int:
        """The number of consecutive failed checks after which a child is restarted (not seconds)."""
        return 4 * self.patience

    @property
    def stuck(self) -> float:
        """The time after which the health monitor restarts a critical actor that is still handling one message.

        Every handler must end earlier. Otherwise a slow execution client would restart actors.
        """
        return self.health_checks * self.health_answer

    # Answers to operators and RPC clients

    @property
    def page_ask(self) -> float:
        """Deadline of each ask for an operator's page, which also loads while an actor is stuck."""
        return 1.0

    @property
    def rpc_ask(self) -> float:
        """Deadline of each ask of the JSON-RPC. It covers one read and a restart of the actor."""
        return 5.0

    # Reloading the configuration: less than the check interval of a background actor, four times `config_reload`

    @property
    def config_read(self) -> float:
        """Deadline of reading and checking all files of the configuration. An encrypted key takes a second."""
        return 10.0

    @property
    def config_apply(self) -> float:
        """The time in which all parts of the node accept their new options, or go back to the old ones."""
        return 2.0

    @property
    def config_reload(self) -> float:
        """Deadline of an ask for a reload: reading, and in the worst case undoing, applying and undoing again.

        Before that, the node's health is looked up, and after it the history is written, each for at most
        `config_apply`. Another reload may come first, so it is twice the time of one. While several parts hang at
        the same time, a reload takes longer, and only the log has its end.
        """
        return 2 * (self.config_read + 5 * self.config_apply)

    @property
    def config_watch(self) -> float:
        """The interval at which the configuration actor looks at the file, the trial and the schedule.

        A file counts as complete when it has not changed for this time.
        """
        return 1.0

    @property
    def config_retry(self) -> float:
        """The interval between two attempts to go back to the old options, while a part does not answer."""
        return 10.0

    @property
    def readiness_ask(self) -> float:
        """Deadline of one attempt, at start, to set the client's head.

        The client's first answer can take seconds.
        """
        return 5.0

    @property
    def readiness_retry(self) -> float:
        """The interval between two attempts, at start, to set the client's head: an eighth of `pace`."""
        return self.pace / 8

    # Stopping: all steps together take less than `stop`

    @property
    def stop(self) -> float:
        """The longest time that the node takes to stop (docs/operating.md)."""
        return 5.0

    @property
    def engine_stop(self) -> float:
        """The time that the engine actor has for its current message when the node stops.

        The node repeats a cancelled call after its next start.
        """
        return 1.0

    @property
    def import_stop(self) -> float:
        """The time that block import has for its current block when the node stops.

        A block that is not stored by then is imported again later.
        """
        return 2.0

    @property
    def approval_stop(self) -> float:
        """The time that the approval workflow has for its current message. An import that it waits for goes on."""
        return 0.5

    @property
    def server_stop(self) -> float:
        """The time that a server has to stop: `ServerLimits.drain` for running requests, the rest for closing."""
        return 2.0

    @property
    def engine_close(self) -> float:
        """The time in which the node, when it stops, closes the engine's connections or its database."""
        return 3.0
