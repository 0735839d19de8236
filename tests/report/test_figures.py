"""Tests of albert.report.figures: what is drawn, and that it fits into a page."""

import re

import numpy as np
import pytest

from albert.report import figures
from albert.report.figures import Curve

POINTS = np.array([(100, 0.25), (200, 0.5), (300, 0.125)])


def test_a_chart_needs_nothing_outside_and_has_no_colour_of_its_own_but_that_of_its_run():
    svg = figures.draw_curves([Curve(POINTS, number=1)], 'f1 of "a"', "x")
    assert svg.startswith('<svg role="img" aria-label="f1 of &#34;a&#34;" viewBox=')
    assert not re.search(r"http|url\(|xmlns|<style|<metadata|<!--| width=|font-family", svg)
    assert set(re.findall(r"(?:stroke|fill): ([^;\"]+)", svg)) <= {
        "none",
        "currentColor",
        figures.colour_of(1),
    }
    assert figures.colour_of(1) in svg and figures.colour_of(1) != figures.colour_of(0)


def test_labels_of_axes_are_text_with_all_their_digits():
    points = np.array([(1000, 0.00125), (2000, 0.0025)])
    svg = figures.draw_curves([Curve(points)], "x", "x")
    texts = set(re.findall(r">([^<>]+)</text>", svg))
    assert {"step", "1k", "2k", "0.0014", "0.0024"} <= texts


def test_names_in_two_charts_do_not_clash():
    one, two = (figures.draw_curves([Curve(POINTS)], "x", name) for name in ("a", "b"))
    ids = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (one, two)]
    assert ids[0] and not ids[0] & ids[1]
    assert set(re.findall(r'href="#([^"]*)"', one)) <= ids[0]
    assert one == figures.draw_curves([Curve(POINTS)], "x", "a")


def test_the_best_point_is_marked_once():
    plain, marked = (
        figures.draw_curves([Curve(POINTS, best=best)], "x", "x") for best in (None, (200, 0.5))
    )
    assert marked.count("<use") == plain.count("<use") + 1


@pytest.mark.parametrize("values", [[], [(1, np.nan), (2, np.inf)]])
def test_without_a_finite_value_there_is_no_chart(values):
    points = np.array(values, float).reshape(-1, 2)
    assert figures.draw_curves([Curve(points)], "x", "x") == ""
    assert figures.draw_scatter(points[:, 0], points[:, 1], "x", "x") == ""


def test_a_single_point_and_gaps_are_drawn():
    assert "<use" in figures.draw_curves([Curve(POINTS[:1])], "x", "x")
    with_gap = np.array([(1, 1.0), (2, np.inf), (3, 2.0)])
    assert "<use" in figures.draw_curves([Curve(with_gap)], "x", "x")


def test_many_points_become_means_of_neighbours():
    points = np.stack([np.arange(3000), np.arange(3000) % 2], axis=1)
    thinned = figures.thin(points)
    np.testing.assert_allclose(thinned[:2], [(19.5, 0.5), (59.5, 0.5)])
    assert len(thinned) == figures.MOST_POINTS
    np.testing.assert_array_equal(figures.thin(POINTS), POINTS)


def test_a_scatter_plot_has_a_dot_for_each_of_few_pairs():
    few, many = (figures.draw_scatter(np.arange(n), np.arange(n), "x", "x") for n in (300, 20_000))
    assert 300 <= few.count("<use") < 330
    assert 1000 < many.count("<use") <= 2030
