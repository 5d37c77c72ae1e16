"""A report's page from its facts and pictures, and the same page as PDF.

Jinja and WeasyPrint are imported when a report is rendered.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from admin_tasks.report_facts import ReportFacts
from admin_tasks.report_fonts import ReportFont
from admin_tasks.report_summary import Summary, cause_of, title_of
from admin_tasks.report_wording import DATASETS, WORKS, counted, duration, money, percent, span
from admin_tasks.report_wording import weekday as weekday_of
from market.boards import BoardKind
from market.errors import QuantsyncError

if TYPE_CHECKING:
    from jinja2 import Environment

PANGO_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


class PdfUnavailableError(QuantsyncError):
    """A library that PDF needs is not on this machine; pages can be made all the same."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be rendered.

    Attributes:
        figures: SVG pictures by name.
        font: The font cut for it; None: none with Chinese is to be had.
        remarks: What the reader should know of the report itself.
    """

    facts: ReportFacts
    summary: Summary
    figures: Mapping[str, bytes]
    font: ReportFont | None
    user_id: str
    remarks: tuple[str, ...] = ()


def render_html(page: Page) -> str:
    """The report as one page that needs no other file."""
    faces = () if page.font is None else (_face(page.font.woff2, "woff2"),)
    return _render(page, _environment(None), faces)


def render_pdf(page: Page) -> bytes:
    """The report as PDF, A4, with page numbers and tags for screen readers.

    Raises:
        PdfUnavailableError: Pango is missing.
    """
    try:
        import weasyprint  # noqa: PLC0415
    except OSError as error:
        raise PdfUnavailableError(
            f"PDF needs Pango, which is not on this machine ({error}): install it "
            f"(Debian: {PANGO_PACKAGES}); the HTML report is made all the same",
        ) from error
    latin = _latin_font()
    shown = _characters(latin) | (frozenset() if page.font is None else page.font.covered)
    faces = [_face(latin.read_bytes(), "truetype", "Report Sans")]
    bold = latin.with_name("DejaVuSans-Bold.ttf")
    faces.append(_face(bold.read_bytes(), "truetype", "Report Sans", "bold"))
    if page.font is not None:
        faces.append(_face(page.font.truetype, "truetype"))
    text = _render(page, _environment(shown), faces)
    # Everything is in the page: whatever a hostile name may smuggle in, nothing is fetched.
    fetcher = weasyprint.URLFetcher(allowed_protocols=["data"])
    document: bytes = weasyprint.HTML(string=text, url_fetcher=fetcher).write_pdf(pdf_tags=True)
    return document


def render_mail(summary: Summary, session: date) -> str:
    """The summary alone, as plain HTML."""
    environment = _environment(None)
    text = environment.get_template("mail.html.j2").render(summary=summary, session=session)
    return text.lstrip()


def _face(font: bytes, form: str, family: str = "Report CJK", weight: str = "normal") -> str:
    kind = "font/woff2" if form == "woff2" else "font/ttf"
    return (
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; '
        f'src: url("{data_url(font, kind)}") format("{form}"); }}'
    )


def data_url(content: bytes, kind: str) -> str:
    """Content inside an address, so that a page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _latin_font() -> Path:
    import matplotlib as mpl  # noqa: PLC0415

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _characters(font: Path) -> frozenset[str]:
    from fontTools.ttLib import TTFont  # noqa: PLC0415

    return frozenset(chr(code) for code in TTFont(str(font), lazy=True).getBestCmap())


def _environment(shown: frozenset[str] | None) -> "Environment":
    """Jinja with our words; in print, a character that no font has becomes a question mark."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup, escape  # noqa: PLC0415

    def in_print(value: Any) -> Any:
        if shown is None or isinstance(value, Markup) or not isinstance(value, str):
            return value
        return "".join(c if c in shown or c.isspace() else "?" for c in value)

    def prose(sentence: str) -> Markup:
        """A sentence with the commands between its backticks set apart."""
        words = [escape(part) for part in in_print(sentence).split("`")]
        if len(words) % 2 == 0:
            return escape(in_print(sentence))
        apart = [word if at % 2 == 0 else f"<code>{word}</code>" for at, word in enumerate(words)]
        return Markup("".join(apart))  # noqa: S704  (every part of it is escaped)

    environment = Environment(
        loader=PackageLoader("admin_tasks"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=in_print,
    )
    environment.filters |= {
        "cause": cause_of,
        "counted": counted,
        "duration": duration,
        "money": money,
        "percent": percent,
        "prose": prose,
        "title_of": title_of,
        "weekday": weekday_of,
        "picture": lambda svg: data_url(svg, "image/svg+xml"),
    }
    environment.globals |= {
        "span": span,
        "datasets": DATASETS,
        "works": WORKS,
        "board_kinds": {"Industries": BoardKind.INDUSTRY, "Concepts": BoardKind.CONCEPT},
        "can_show": lambda text: shown is None or shown.issuperset(text),
    }
    return environment


def _render(page: Page, environment: "Environment", faces: Any) -> str:
    from markupsafe import Markup  # noqa: PLC0415

    text = environment.get_template("report.html.j2").render(
        facts=page.facts,
        summary=page.summary,
        figures=page.figures,
        user_id=page.user_id,
        remarks=page.remarks,
        # Ours alone: base64 of fonts, which holds nothing that HTML could misread.
        faces=Markup("\n".join(faces)),  # noqa: S704
    )
    return text.lstrip()
