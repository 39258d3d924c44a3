"""Text from strangers, as a terminal may show it. Loads nothing, so that help answers at once."""

import re

# Controls and escapes, half characters, and what turns the direction of the text around.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def visible(text: str) -> str:
    """The text with what a terminal would obey in the place of showing it written out.

    >>> visible("a" + chr(27) + "[31mred")
    'a\\\\x1b[31mred'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
