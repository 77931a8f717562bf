"""The asks that wait for one candidate: for its import, or until it is imported or given up."""

from alysd.errors import Refused
from alysd.nurseries import Deferred, NotAnswered
from alysd.types.chain import Forkchoice


class CandidateAsks:
    """Answers the open asks about a candidate. Answered asks are forgotten."""

    def __init__(self) -> None:
        self._imports: list[Deferred[Forkchoice]] = []
        self._ends: list[Deferred[None]] = []

    def until_imported(self) -> Deferred[Forkchoice]:
        """An ask that is answered when the block is imported, and fails when the block is given up."""
        answer = Deferred[Forkchoice]()
        self._imports.append(answer)
        return answer

    def until_settled(self, answer: Deferred[None]) -> None:
        """Answer this ask when the block is imported or given up. The ask may wait for other candidates too."""
        self._ends.append(answer)

    def imported(self, tip: Forkchoice) -> None:
        """Answer all asks: the block is part of the chain, and `tip` is the forkchoice."""
        answers, self._imports = self._imports, []
        for answer in answers:
            answer.reply(tip)
        self._settle()

    def failed(self, error: Refused | NotAnswered) -> None:
        """Fail the asks for the import with `error`, and answer the other asks."""
        answers, self._imports = self._imports, []
        for answer in answers:
            answer.fail(error)
        self._settle()

    def _settle(self) -> None:
        answers, self._ends = self._ends, []
        for answer in answers:
            answer.reply(None)
