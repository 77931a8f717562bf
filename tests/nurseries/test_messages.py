"""Messages are tags for types: they add nothing to the classes that derive from them."""

import attrs

from alysd.nurseries import Ask, Tell
from tests.nurseries.kit import Note, Say


def test_a_message_has_no_dict_of_its_own() -> None:
    """Memory: a slotted message derived from a base with a dict would have one too."""
    for message in (Note("x"), Say("x")):
        assert not hasattr(message, "__dict__")
        assert isinstance(message, (Tell, Ask))
        assert attrs.evolve(message, text="y").text == "y"
