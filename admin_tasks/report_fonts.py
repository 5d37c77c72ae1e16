"""A font for the Chinese names of a report: found, checked for the very glyphs, cut to them.

A glyph that a font lacks is drawn as a box, so nothing is drawn that the font does not have.
Matplotlib and fontTools are imported when a font is first looked for.
"""

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.errors import ConfigurationError

DEBIAN_PACKAGE = "fonts-wqy-zenhei"
FAMILY = "Report CJK"
"""What the cut font calls itself in a report."""
_ALWAYS = "".join(chr(code) for code in range(0x20, 0x7F)) + "…–—·×−“”‘’→"
"""Names stand beside digits and Latin letters."""
_FIRST = ("notosanscjk", "notosanssc", "sourcehansans", "wqy-zenhei", "wqy-microhei", "msyh",
          "pingfang", "simhei", "hiragino", "droidsansfallback")  # fmt: skip
"""Parts of the file names of well-known Chinese sans fonts, the best first."""
_IS_CHINESE = ord("的")


@dataclass(frozen=True, slots=True)
class ReportFont:
    """A font cut to the characters of one report.

    Attributes:
        source: The file that it was cut from.
        covered: The characters that it can draw.
        truetype: The cut font as TrueType or OpenType.
        woff2: The same, compressed for a page.
    """

    source: Path
    covered: frozenset[str]
    truetype: bytes
    woff2: bytes

    def shows(self, text: str) -> bool:
        """Whether every character of a text can be drawn."""
        return self.covered.issuperset(text)


def is_plain(text: str) -> bool:
    """Whether any Latin font has all characters of a text."""
    return all(" " <= character <= "~" for character in text)


def find_font(
    wanted: str, configured: Path | None = None, installed: Sequence[Path] | None = None
) -> ReportFont | None:
    """The font that has the most of the wanted characters, cut to them.

    Args:
        wanted: All characters that are to be drawn, in any order.
        configured: The font to take (REPORT_FONT); None: the best one installed.
        installed: Where to choose from; None: all fonts of this machine.

    Returns:
        None if no Chinese font is installed.

    Raises:
        ConfigurationError: The configured file is no font, or has no Chinese characters.
    """
    if configured is not None:
        found = _best([configured.expanduser()], wanted)
        if found is None:
            raise ConfigurationError(
                f"REPORT_FONT={configured} is no TrueType or OpenType font with Chinese "
                f"characters: give another, or unset it and install one (Debian: {DEBIAN_PACKAGE})",
                {"path": str(configured)},
            )
    else:
        found = _best(_installed() if installed is None else installed, wanted)
    return None if found is None else _cut(*found, wanted)


def _installed() -> list[Path]:
    from matplotlib import font_manager  # noqa: PLC0415  (takes half a second)

    paths = sorted(Path(path) for path in font_manager.findSystemFonts())
    return sorted(paths, key=_rank)


def _rank(path: Path) -> int:
    name = path.name.lower().replace("_", "-")
    return next((at for at, part in enumerate(_FIRST) if part in name), len(_FIRST))


def _best(paths: Iterable[Path], wanted: str) -> tuple[Path, int] | None:
    """Path and face of the font that lacks the fewest characters, the first of equals."""
    codes = {ord(character) for character in wanted}
    best: tuple[int, Path, int] | None = None
    for path in paths:
        for face, known in _faces(path):
            if _IS_CHINESE not in known:
                continue
            lacks = len(codes - known)
            if best is None or lacks < best[0]:
                best = (lacks, path, face)
            if not lacks:
                return path, face
    return None if best is None else best[1:]


def _faces(path: Path) -> Iterator[tuple[int, set[int]]]:
    """The faces of a font file with the characters each has; simplified Chinese ones first."""
    from fontTools.ttLib import TTCollection, TTFont, TTLibError  # noqa: PLC0415

    fonts: Sequence[Any]
    try:
        if path.suffix.lower() in (".ttc", ".otc"):
            fonts = TTCollection(str(path), lazy=True).fonts
        else:
            fonts = [TTFont(str(path), lazy=True)]
        faces = [(at, str(font["name"].getDebugName(4)), font) for at, font in enumerate(fonts)]
        for at, _, font in sorted(faces, key=lambda face: " SC" not in face[1]):
            yield at, set(font.getBestCmap() or ())
    except (OSError, TTLibError, KeyError, AssertionError, ValueError):
        return  # not a font, or a broken one: there may be others


def _cut(path: Path, face: int, wanted: str) -> ReportFont:
    from fontTools.subset import Options, Subsetter, load_font, save_font  # noqa: PLC0415

    # It warns of tables that it does not know, and leaves them out, as is wanted.
    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)
    options = Options(
        font_number=face,
        hinting=False,
        layout_features=[],
        name_IDs=[],
        notdef_outline=True,
        drop_tables=[*Options().drop_tables, "EBDT", "EBLC", "EBSC", "BDF ", "FFTM"],
    )
    font = load_font(str(path), options)
    text = "".join(sorted({*wanted, *_ALWAYS}))
    subsetter = Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    for number in (1, 4, 6):
        label = FAMILY.replace(" ", "") if number == 6 else FAMILY  # noqa: PLR2004
        font["name"].setName(label, number, 3, 1, 0x409)
    covered = frozenset(chr(code) for code in font.getBestCmap())
    plain, packed = io.BytesIO(), io.BytesIO()
    save_font(font, plain, options)
    options.flavor = "woff2"
    save_font(font, packed, options)
    return ReportFont(path, covered, plain.getvalue(), packed.getvalue())
