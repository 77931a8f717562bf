"""Every wait of a node that depends on the slot's length, on another wait or on the health check. All are seconds.

Each value says how it is derived; tests/test_timing.py asserts the inequalities between them, for slots of 1 to
60 s. A wait that depends on nothing else is a constant of the module that waits.
"""

import attrs


@attrs.frozen
class EngineDeadlines:
    """Deadlines of calls to the execution client, from connecting to the last byte of the answer.

    `build` covers a forkchoice update with attributes, `fill` and the fetching of the payload. `fill` is the pause
    between asking for a payload and taking it, in which the client fills it.
    """

    build: float
    fill: float
    new_payload: float
    forkchoice: float
    lookup: float
    receipts: float


@attrs.frozen
class Timing:
    """The waits of a node whose slots last `slot_seconds`.

    Longer slots make neither the node's memory and disk nor its execution client slower. Deadlines that add up
    while one message is handled therefore grow with the slot up to 2 s only (`pace`), so that their sum stays
    below `stuck` for every length of slot.
    """

    slot_seconds: float

    @property
    def pace(self) -> float:
        """The slot's length, at most 2 s: what the deadlines inside one message are fractions of."""
        return min(self.slot_seconds, 2.0)

    # A slot of block production

    @property
    def slot_work(self) -> float:
        """From a slot's start until its work is given up: 95 % of it, so that the next slot starts on time."""
        return 0.95 * self.slot_seconds

    @property
    def slot_ask(self) -> float:
        """Block production's questions: a whole slot, because `slot_work` ends before any of them."""
        return float(self.slot_seconds)

    @property
    def work_ask(self) -> float:
        """Looking for a proof to include: 15 % of the pace. The block is made without one when it takes longer."""
        return 0.15 * self.pace

    # Answers from the node's own memory and disk

    @property
    def chain_lookup(self) -> float:
        """A question that the chain actor answers from memory: half the pace, so that no block is late for it."""
        return self.pace / 2

    @property
    def local_answer(self) -> float:
        """Questions of finality and the internal miner, answered from memory or by one read: no slot waits."""
        return self.pace

    @property
    def chain_write(self) -> float:
        """Block import's request to adopt a block, which takes one synced write: the pace."""
        return self.pace

    @property
    def storage_read(self) -> float:
        """The engine actor's reads. The whole chain above the last final block takes a tenth of a second."""
        return 5.0

    @property
    def storage_write(self) -> float:
        """The chain actor's requests to storage: a disk that is busy for 10 s will not answer. Below `stuck`."""
        return 10.0

    @property
    def mining_handler(self) -> float:
        """One message to the merged-mining actor: twice what its two questions to the chain actor may take.

        The health monitor checks this actor every 10 s only, and would keep miners waiting for a minute.
        """
        return 2 * 2 * self.chain_lookup

    @property
    def offer_life(self) -> float:
        """How long an offer is remembered after it was last asked for. Pools ask again at least every minute."""
        return 900.0

    # The execution client

    @property
    def engine_in_slot(self) -> EngineDeadlines:
        """Calls in a slot: to build may take half of it, to execute 75 % of the pace.

        For comparison: geth needs 0.01 s for an empty payload and 0.12 s for 1,000 transfers; EthereumJS needs
        0.3 s, and 0.6 s for 200 transfers. geth's payload is empty when it is taken at once, and holds all of
        1,000 transfers (21 million gas) after 0.02 s; a tenth of the pace leaves room for contracts.
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
        """Calls that feed a client which lags behind, where no slot waits: `engine_call`, and 2 s for a lookup."""
        return EngineDeadlines(
            build=self.engine_in_slot.build,
            fill=self.engine_in_slot.fill,
            new_payload=self.engine_call,
            forkchoice=self.engine_call,
            lookup=2.0,
            receipts=self.engine_call,
        )

    @property
    def engine_call(self) -> float:
        """The slowest call that a client is allowed.

        The slowest on record is EthereumJS on a busy machine: 2.4 s to follow a block of 100 transfers that it did
        not build. A client that has lost states executes blocks again when it is told to follow one; it continues
        after the deadline, and the next try finds it further.
        """
        return 12.0

    @property
    def execution(self) -> float:
        """Block import's wait for the execution of a block, of which a real client needs well below a second.

        It covers all calls of one execution in a slot, and a client that is busy with an earlier message.
        """
        return 12.0

    @property
    def head_update(self) -> float:
        """Block import's wait until the client follows a stored block; if it does not, the next block tells it."""
        return self.pace

    @property
    def feed_piece(self) -> float:
        """How long one message may feed a client that lags behind before others have their turn: 15 % of the pace.

        A gap that closes within it, some 20 blocks with geth, costs no slot: a payload and an import still fit.
        """
        return 0.15 * self.pace

    @property
    def engine_handler(self) -> float:
        """How long one message may hold the engine actor: longer than `engine_call`, shorter than `stuck`."""
        return 15.0

    @property
    def engine_pause(self) -> float:
        """How long the engine actor stays down while its circuit breaker is open: twice the pace."""
        return 2 * self.pace

    @property
    def embedded_build(self) -> float:
        """How long the embedded engine executes transactions for one payload: half the pace.

        Other nodes must execute the same block within `execution`.
        """
        return self.pace / 2

    # Health checks

    @property
    def health_answer(self) -> float:
        """How long a health check waits for its answer: the interval of a critical actor's checks.

        The checks then leave no gap: several in a row fail only if one message holds the actor all that time.
        """
        return 5.0

    @property
    def health_checks(self) -> int:
        """How many checks in a row must fail before a child is restarted (a number, not seconds)."""
        return 4

    @property
    def stuck(self) -> float:
        """How long one message may hold a critical actor before the health monitor restarts it.

        Every handler must end earlier: an actor that waits for a slow client must not be restarted for it.
        """
        return self.health_checks * self.health_answer

    # Answers to people and programs

    @property
    def page_ask(self) -> float:
        """Each of the two questions behind an operator's page, which must not wait for an actor that is stuck."""
        return 1.0

    @property
    def rpc_ask(self) -> float:
        """Each question of the JSON-RPC, answered from memory or by one read; the actor may be restarting."""
        return 5.0

    @property
    def readiness_ask(self) -> float:
        """One try to make the client follow at start, when its first answer may take seconds."""
        return 5.0

    @property
    def readiness_retry(self) -> float:
        """Between two tries at start: an eighth of the pace."""
        return self.pace / 8

    # Stopping: the whole takes less than `stop`

    @property
    def stop(self) -> float:
        """The whole of a stop, as docs/operating.md promises it."""
        return 5.0

    @property
    def engine_stop(self) -> float:
        """For the engine actor's current message: a call that is cut off is made again after the next start."""
        return 1.0

    @property
    def import_stop(self) -> float:
        """For block import's current block: it is on disk after `chain_write`, or comes again."""
        return 2.0

    @property
    def server_stop(self) -> float:
        """For a server: 0.8 s for answers in progress (`api.server.DRAIN_SECONDS`), the rest for closing."""
        return 2.0

    @property
    def engine_close(self) -> float:
        """For closing the execution client's connections or the embedded engine's database."""
        return 3.0
