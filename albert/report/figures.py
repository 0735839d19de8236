"""Draws charts as SVG to stand inside an HTML page, in the colours of the page."""

import io
import re
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from markupsafe import Markup

_SIZE = 4.5, 2.9  # inches of 72 units; text of 10 units is readable at a phone's width
# Colours that stand for others until the chart is done: that of the text, and one for each run.
_INK = "#010203"
_OF_RUN = "#04{:04x}"
MOST_POINTS = 75  # of a line
_MOST_MARKERS = 40
_MOST_DOTS = 2000  # of a scatter plot


class Curve(NamedTuple):
    """A line of a chart.

    Attributes:
        points: float [n, 2].
        number: of the run, for the colour.
        is_dashed: whether it is dashed, as is what stands beside another line of the run.
        best: the point to mark, (x, y).
    """

    points: np.ndarray
    number: int = 0
    is_dashed: bool = False
    best: Optional[Tuple[float, float]] = None


def colour_of(number: int) -> str:
    """Returns the CSS colour of a run, the lightness of which the page decides."""
    return f"hsl({(212 + number * 137.5) % 360:g} var(--saturation) var(--lightness))"


def draw_curves(curves: Sequence[Curve], label: str, name: str) -> Markup:
    """Returns a chart of values by step; empty if no value is finite.

    Args:
        label: what a screen reader says.
        name: of the chart, unlike that of any other on the page.
    """
    thinned = [curve._replace(points=thin(curve.points)) for curve in curves]
    if not any(np.isfinite(curve.points).all(axis=1).any() for curve in thinned):
        return Markup("")

    def draw(axes: Any) -> None:
        from matplotlib.ticker import EngFormatter, MaxNLocator

        for curve in thinned:
            axes.plot(
                *curve.points.T,
                color=_OF_RUN.format(curve.number),
                linewidth=1.4,
                linestyle=(0, (4, 2)) if curve.is_dashed else "-",
                marker="o" if len(curve.points) <= _MOST_MARKERS else "",
                markersize=3,
            )
            if curve.best:
                axes.plot(
                    *curve.best,
                    color=_OF_RUN.format(curve.number),
                    marker="o",
                    markersize=8,
                    markerfacecolor="none",
                )
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))

    return _svg(draw, label, name)


def draw_scatter(x: Sequence[float], y: Sequence[float], label: str, name: str) -> Markup:
    """Returns a chart of predictions against gold values; empty if no pair is finite."""
    points = np.array([x, y], float).T
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return Markup("")
    shown = points[:: -(-len(points) // _MOST_DOTS)]

    def draw(axes: Any) -> None:
        ends = points.min(), points.max()
        axes.plot(ends, ends, color=_INK, alpha=0.5, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.plot(*shown.T, color=_OF_RUN.format(0), alpha=0.5, marker="o", markersize=3, ls="")
        axes.set_xlabel("gold")
        axes.set_ylabel("predicted")

    return _svg(draw, label, name)


def thin(points: np.ndarray) -> np.ndarray:
    """Returns points [n, 2] with means of neighbours in place of more points than can be seen.

    What is not finite becomes NaN, a gap in the line.
    """
    finite = np.where(np.isfinite(points), points, np.nan)
    if len(finite) <= MOST_POINTS:
        return finite
    return np.array([part.mean(axis=0) for part in np.array_split(finite, MOST_POINTS)])


def _svg(draw: Callable[[Any], None], label: str, name: str) -> Markup:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": name,  # the same page from the same data
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        **{
            key: _INK for key in ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        },
    }
    written = io.StringIO()
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=_SIZE, dpi=72)
        axes = figure.subplots()
        draw(axes)
        axes.grid(color=_INK, alpha=0.15, linewidth=0.8)
        axes.tick_params(length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        figure.tight_layout(pad=0.3)
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})
    return _for_a_page(written.getvalue(), label)


def _for_a_page(svg: str, label: str) -> Markup:
    """Returns an SVG file as a part of an HTML page."""
    svg = svg[svg.index("<svg") :]
    replacements: List[Tuple[str, Any]] = [
        (r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>|<clipPath.*?</clipPath>", ""),
        (r' (?:xmlns(?::xlink)?|version|clip-path)="[^"]*"', ""),
        (r'(<svg[^>]*?) (?:width|height)="[^"]*" (?:width|height)="[^"]*"', r"\1"),
        # Nothing refers to the names of groups, and every chart has the same.
        (r'<g id="[^"]*"', "<g"),
        (r"font: ([\d.]+px)[^;\"]*", r"font-size: \1"),
        (r"font-family: [^;\"]*;? ?", ""),
        (r' d="[^"]*"', lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match.group())),
        (_INK, "currentColor"),
        ("#04([0-9a-f]{4})", lambda match: colour_of(int(match.group(1), 16))),
        (r"\s*\n\s*", " "),
    ]
    for pattern, replacement in replacements:
        svg = re.sub(pattern, replacement, svg, flags=re.DOTALL)
    named = Markup('<svg role="img" aria-label="{}"').format(label)
    return Markup(svg.replace("<svg", named, 1))
