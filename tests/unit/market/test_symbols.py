"""Symbols: every spelling, every exchange's numbering rule, and refusals that say why."""

import pytest

from market.errors import InvalidSymbolError
from market.symbols import Exchange, Symbol, SymbolKind, parse_stock, parse_symbol

MAOTAI = Symbol("600519", Exchange.SH)


@pytest.mark.parametrize(
    "text",
    [
        *("600519", " 600519\n", "600519", "６００５１９"),
        *("sh600519", "SH600519", "Sh.600519", "sh.600519", "ss600519", "SSE600519"),
        *("600519.SH", "600519.sh", "600519.SS", "600519.XSHG", "600519.SSE", "SHSE.600519"),
        "1.600519",
    ],
)
def test_every_common_spelling_names_the_same_symbol(text: str) -> None:
    assert parse_symbol(text) == MAOTAI


@pytest.mark.parametrize(
    ("text", "written"),
    [
        *(("sz000001", "000001.SZ"), ("000001.XSHE", "000001.SZ"), ("000001.SZSE", "000001.SZ")),
        *(("0.000001", "000001.SZ"), ("0.300750", "300750.SZ"), ("0.920819", "920819.BJ")),
        *(("bj830799", "830799.BJ"), ("830799.BSE", "830799.BJ"), ("nq430047", "430047.BJ")),
    ],
)
def test_spellings_of_the_other_exchanges_are_read_too(text: str, written: str) -> None:
    assert str(parse_symbol(text)) == written


def test_a_symbol_is_read_back_from_how_it_is_written() -> None:
    assert parse_symbol(str(MAOTAI)) == MAOTAI
    assert str(MAOTAI) == "600519.SH"


@pytest.mark.parametrize(
    ("exchange", "kind", "prefixes"),
    [
        ("SH", "stock", "600 601 603 605 688 689"),
        ("SH", "b_share", "900"),
        ("SZ", "stock", "000 001 002 003 300 301 302"),
        ("SZ", "b_share", "200"),
        ("BJ", "stock", "430 830 839 870 873 880 889 920"),
        ("SH", "fund", "500 501 510 512 515 520 530 551 560 563 588"),
        ("SZ", "fund", "150 159 160 164 180 184"),
        ("SZ", "index", "399"),
    ],
)
def test_digits_alone_tell_exchange_and_kind(exchange: str, kind: str, prefixes: str) -> None:
    for prefix in prefixes.split():
        symbol = parse_symbol(f"{prefix}123")
        assert (symbol.exchange, symbol.kind) == (exchange, SymbolKind(kind)), prefix


@pytest.mark.parametrize("text", ["sh000001", "000001.SH", "000300.XSHG", "1.000001"])
def test_a_shanghai_index_needs_its_exchange_spelt_out(text: str) -> None:
    assert parse_symbol(text).kind is SymbolKind.INDEX
    assert parse_symbol(text[-6:] if text[-1].isdigit() else text[:6]).exchange is Exchange.SZ


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("600519.SZ", "not listed on SZ: 600519 is numbered by SH"),
        ("sz600519", "not listed on SZ"),
        ("bj600519", "not listed on BJ"),
        ("sh300750", "not listed on SH: 300750 is numbered by SZ"),
        ("sh830799", "not listed on SH: 830799 is numbered by BJ"),
        ("0.600519", "not listed on SZ"),
        ("1.000858.SZ", "is not a symbol"),
        ("1.300750", "not listed on SH"),
        ("600519.HK", "unknown exchange 'HK'"),
        ("hk00700", "is not a symbol"),
        ("sz123456", "no listing is numbered so"),
    ],
)
def test_a_wrong_exchange_is_refused_with_the_right_one(text: str, reason: str) -> None:
    with pytest.raises(InvalidSymbolError) as refusal:
        parse_symbol(text)
    assert reason in str(refusal.value)
    assert repr(text) in str(refusal.value)
    assert refusal.value.context == {"symbol": text}


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "60051", "6005190", "600519 000001", "茅台", "AAPL", "BK0477", "600519.", "-1"),
        *("60051O", "600519.SH.SH", "700000", "999999", "400001", "2.600519", "sh..600519"),
        *("٦٠٠٥١٩", "60051٩.SH", "sh60051٩"),  # digits, but not of any exchange
    ],
)
def test_junk_is_no_symbol(text: str) -> None:
    with pytest.raises(InvalidSymbolError, match="is not a symbol"):
        parse_symbol(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("900901", "a B share"),
        ("510300", "a fund"),
        ("sh000001", "an index"),
        ("399001", "an index"),
        ("810013", "a convertible bond"),
    ],
)
def test_only_an_a_share_is_a_stock(text: str, kind: str) -> None:
    assert parse_stock("600519") == MAOTAI
    with pytest.raises(InvalidSymbolError, match=f"is {kind}, not an A share"):
        parse_stock(text)


def test_symbols_sort_by_code_so_that_lists_are_stable() -> None:
    texts = ("830799", "600519", "000001")
    assert [str(s) for s in sorted(map(parse_symbol, texts))] == [
        "000001.SZ",
        "600519.SH",
        "830799.BJ",
    ]
