"""The codes of Eastmoney's lists as symbols of ours."""

from ingest.source import SchemaDriftError
from market.errors import InvalidSymbolError
from market.symbols import SymbolKind, parse_symbol

SHARES_PER_LOT = 100


def stock_of(code: str) -> str:
    """The symbol of a listed code.

    Raises:
        SchemaDriftError: No exchange numbers its listings so.
    """
    try:
        return str(parse_symbol(code))
    except InvalidSymbolError as error:
        raise SchemaDriftError(
            f"the upstream lists a code of no known exchange: {code!r}"
        ) from error


def is_stock(code: str) -> bool:
    """Whether a listed code is an A share: the list also names convertible bonds of Beijing."""
    return parse_symbol(stock_of(code)).kind is SymbolKind.STOCK
