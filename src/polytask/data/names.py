"""What the name of a column says: its words, and whether they name a code."""

import re

_CODE_WORDS = {
    *("id", "ids", "uid", "uuid", "guid", "hash", "onehot", "sku", "isbn", "imei", "ean", "gtin"),
    *("upc", "asin", "barcode", "iban", "phone", "code", "codes", "zip", "zipcode", "postcode"),
    *("gender", "genre", "type", "kind", "class", "category", "categories", "cat", "cate", "brand"),
}
_ENTITIES = (
    *("user", "item", "video", "author", "movie", "product", "ad", "session", "customer", "device"),
    *("shop", "store", "brand", "campaign", "music", "query", "doc", "page", "cate", "category"),
    *("creator", "merchant", "channel", "account", "player", "seller", "buyer", "advertiser"),
    *("publisher", "artist", "song", "track", "book", "article", "client", "member", "visitor"),
    *("driver", "vendor", "supplier", "patient", "host", "streamer", "playlist", "hotel"),
    *("restaurant", "creative", "adgroup"),
)
_QUANTITY_WORDS = {
    *("num", "n", "nr", "count", "cnt", "number", "total", "sum", "avg", "mean", "per", "by"),
    *("max", "min", "median", "rate", "ratio", "share", "score", "time", "hours", "minutes"),
    "seconds",
}
_ID_ENDING = re.compile(rf"({'|'.join(_ENTITIES)})id$")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case.

    >>> words_of("userId_2")
    ['user', 'id', '2']
    """
    return [word.lower() for word in _WORD.findall(name)]


def is_code(name: str) -> bool:
    """Whether the name says that the values are codes: `user_id`, `zip`, `target_user`.

    >>> [is_code(name) for name in ("creator", "userid", "user_age", "clicks_per_user")]
    [True, True, False, False]
    """
    words = words_of(name)
    if not _CODE_WORDS.isdisjoint(words) or _ID_ENDING.search(name.lower()):
        return True
    nouns = [word for word in words if not word.isdigit()]
    return bool(nouns) and nouns[-1] in _ENTITIES and _QUANTITY_WORDS.isdisjoint(nouns)
