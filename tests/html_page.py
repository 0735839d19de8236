"""Reads an HTML page for tests: its tables, links and texts."""

import html.parser

_VOID = ("meta", "wbr")
_BLOCKS = ("dt", "dd", "li", "p", "td", "th", "title")


class Page(html.parser.HTMLParser):
    """A page. Its tags must close each other in order.

    Attributes:
        tables: {caption: rows of the texts of cells}.
        ids: all values of id.
        attributes: (tag, name, value) of all.
        headings: (level, text).
    """

    def __init__(self, text):
        super().__init__()
        self.tables, self.ids, self.attributes, self.headings = {}, [], [], []
        self._open, self._texts, self._rows = [], [], []
        self._all, self._caption = [], None
        self.feed(text)
        self.close()
        assert self._open == []

    @property
    def text(self):
        return " ".join("".join(self._all).split())

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "tr":
            self._rows.append([])
        elif tag == "table":
            self._rows = []
        if tag not in _VOID:
            self._open.append(tag)
            self._texts.append("")

    def handle_endtag(self, tag):
        if tag in _VOID:
            return
        assert self._open.pop() == tag
        text = self._texts.pop()
        if self._texts:
            self._texts[-1] += text
        if tag in _BLOCKS:
            self._all.append(" ")
        text = " ".join(text.split())
        if tag in ("td", "th"):
            self._rows[-1].append(text)
        elif tag == "caption":
            self._caption = text
        elif tag == "table":
            self.tables[self._caption] = self._rows
        elif tag[0] == "h" and tag[1:].isdigit():
            self.headings.append((int(tag[1:]), text))

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self._texts[-1] += data
            self._all.append(data)
