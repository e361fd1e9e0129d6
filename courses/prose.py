"""Course text: CommonMark with tables, turned into HTML that cannot harm the reader."""

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol", "p", "pre",
    "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "code": {"class"},  # language-python
    "ol": {"start"},
}
SCHEMES = {"http", "https", "mailto"}

_commonmark = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def html(text: str) -> Markup:
    """Raw HTML in the text is shown as text; what is left is cleaned again, so that one hole is not enough."""
    rendered = _commonmark.render(text)
    for level in range(5, 0, -1):  # the page has the only h1
        rendered = rendered.replace(f"<h{level}>", f"<h{level + 1}>").replace(f"</h{level}>", f"</h{level + 1}>")
    clean = nh3.clean(rendered, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer")
    for wide in ("table", "pre"):  # these scroll sideways on a phone, so the keyboard must reach them (WCAG 2.1.1)
        clean = clean.replace(f"<{wide}>", f'<{wide} tabindex="0">')
    return Markup(clean)  # noqa: S704 - cleaned above, and what was added is ours
