"""Tests of the page of albert.serve, in a headless Chromium and with nothing but its keyboard."""

import re
from types import SimpleNamespace

import browser
import pytest
import served
from html_page import Page

from albert.common.errors import UsageError
from albert.serve import page

EVIL = "<b>bold</b> & <img src=x onerror=document.title='run'>"
IN_A_BROWSER = pytest.mark.skipif(not browser.CHROMIUM, reason="needs Chromium")


class Answers:
    """Stands in for a model: answers everything alike, and refuses the text "refuse me"."""

    def __init__(self, columns, answer):
        self.task = SimpleNamespace(name="a task", input_columns=columns)
        self.inputs = []
        self._answer = answer

    def examples_of(self, inputs):
        if any("refuse me" in each.values() for each in inputs):
            raise UsageError(f"input 0: {EVIL} is refused.")
        self.inputs += inputs
        return inputs

    def predict_examples(self, examples):
        return [self._answer for _ in examples]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.running(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def fill_in(chromium, model, texts, *expressions, width=800):
    """Types texts into the fields of the page and sends them; returns the values of expressions.

    The first value is the text that the page shows as result or as error.
    """

    async def steps(server):
        async with chromium.tab() as tab:
            await tab.open(server.url, width)
            for text in texts:
                await tab.press("Tab")
                await tab.type(text)
            await tab.press("Enter", ctrl=True)
            shown = await tab.until("problem.innerText || result.innerText")
            assert tab.complaints == []
            return [shown, *[await tab.value(expression) for expression in expressions]]

    return served.run(model, steps)


def classified(**probabilities):
    label = max(probabilities, key=probabilities.get)
    return {"label": label, "score": probabilities[label], "probabilities": probabilities}


def marks(of="mark"):
    return f"Array.from(result.querySelectorAll('{of}')).map(each => each.textContent)"


@IN_A_BROWSER
def test_labels_have_bars_in_the_order_of_their_probabilities(chromium):
    model = Answers({"text": 1}, classified(cold=0.25, warm=0.625, mild=0.125))
    widths = "Array.from(result.querySelectorAll('.bar')).map(each => each.style.width)"
    answer = "result.querySelector('.answer').textContent"
    shown, names, chosen, found, bars = fill_in(
        chromium, model, ["a film"], marks("li > :first-child"), marks(".chosen"), answer, widths
    )
    assert "62.5 %" in shown and names == ["warm", "cold", "mild"]
    assert (found, chosen) == ("warm", ["warm62.5 %"])
    assert bars == ["62.5%", "25%", "12.5%"]
    assert model.inputs == [{"text": "a film"}]


@IN_A_BROWSER
def test_of_any_number_of_labels_all_that_are_predicted_are_told(chromium):
    answer = {"label": ["a", "c"], "probabilities": {"a": 0.9, "b": 0.1, "c": 0.8}}
    shown, chosen = fill_in(chromium, Answers({"text": 1}, answer), ["x"], marks(".chosen"))
    assert shown.startswith("a, c\n") and chosen == ["a90.0 %", "c80.0 %"]


@IN_A_BROWSER
def test_a_pair_has_two_fields_with_the_names_of_its_columns(chromium):
    model = Answers({"premise": 1, "my hypothesis": 1}, {"score": 2.123456})
    (shown,) = fill_in(chromium, model, ["one", "two"])
    assert shown.startswith("2.1235\n")
    assert model.inputs == [{"premise": "one", "my hypothesis": "two"}]


@IN_A_BROWSER
def test_options_are_sent_as_a_list_and_named_in_the_answer(chromium):
    model = Answers(
        {"article": 1, "question": 1, "options": 4}, classified(A=0.1, B=0.7, C=0.1, D=0.1)
    )
    (shown, width) = fill_in(
        chromium, model, "aqwxyz", "document.documentElement.scrollWidth", width=320
    )
    assert shown.startswith("B: x\n") and width == 320
    assert model.inputs == [{"article": "a", "question": "q", "options": ["w", "x", "y", "z"]}]


@IN_A_BROWSER
def test_the_answer_is_marked_in_its_context(chromium):
    context = "\U0001f600 Ann met Bob."  # one character for Python, two for JavaScript
    answer = {"answer": "Bob", "start": 10, "end": 13, "score": 0.75}
    model = Answers({"context": 1, "question": 1}, answer)
    shown, marked = fill_in(chromium, model, [context, "Who?"], marks())
    assert shown.startswith("Bob\n\nProbability 75.0 %\n") and context in shown
    assert marked == ["Bob"]


@IN_A_BROWSER
def test_no_answer_has_its_probability(chromium):
    answer = {"answer": "", "start": None, "end": None, "score": 0.5, "null_odds": 0.0}
    model = Answers({"context": 1, "question": 1}, answer)
    shown, marked = fill_in(chromium, model, ["Ann.", "Who?"], marks())
    assert shown.startswith("No answer\n\nProbability 50.0 %\n") and marked == []


@IN_A_BROWSER
def test_entities_are_marked_with_their_type(chromium):
    entities = [
        {"type": "PER", "text": "Ann", "start": 0, "end": 3, "score": 0.9},
        {"type": "LOC", "text": "Oslo", "start": 7, "end": 11, "score": 0.5},
    ]
    model = Answers({"text": 1}, {"tokens": [], "tags": [], "entities": entities})
    shown, marked = fill_in(chromium, model, ["Ann in Oslo."], marks())
    assert marked == ["Ann PER", "Oslo LOC"] and shown.startswith("Ann PER in Oslo LOC.\n")


@IN_A_BROWSER
def test_plain_tags_stand_at_their_tokens(chromium):
    model = Answers({"text": 1}, {"tokens": ["it", "rains"], "tags": ["PRON", "VERB"]})
    _, marked = fill_in(chromium, model, ["it rains"], marks())
    assert marked == ["it PRON", "rains VERB"]


@IN_A_BROWSER
def test_an_error_is_told_and_the_next_answer_takes_its_place(chromium):
    model = Answers({"text": 1}, classified(a=0.5, b=0.5))

    async def steps(server):
        async with chromium.tab() as tab:
            await tab.open(server.url)
            await tab.press("Tab")
            await tab.type("refuse me")
            await tab.press("Enter", ctrl=True)
            error = await tab.until("problem.innerText")
            is_empty = await tab.value("result.textContent == '' && progress.textContent == ''")
            await tab.type(" not")
            await tab.press("Tab")
            await tab.press("Enter")  # on the button
            await tab.until("result.innerText")
            return error, is_empty, await tab.value("problem.textContent")

    assert served.run(model, steps) == (f"input 0: {EVIL} is refused.", True, "")


@IN_A_BROWSER
def test_texts_and_labels_are_never_markup(chromium):
    answer = {"answer": EVIL, "start": 0, "end": len(EVIL), "score": 1.0}
    for found in (answer, classified(**{EVIL: 0.5}), {"tags": [EVIL], "tokens": [EVIL]}):
        model = Answers({"text": 1}, found)
        made = "result.querySelectorAll('b, img').length"
        shown, number, title = fill_in(chromium, model, [EVIL], made, "document.title")
        assert EVIL in shown and number == 0 and title == "a task: try the model"


# Without a browser


def test_every_field_has_a_label_and_the_page_fetches_nothing():
    columns = {"<a> b": 1, "options": 3}
    found = page.render(SimpleNamespace(name="<i>name", input_columns=columns))
    text = found.body.decode()
    attributes = Page(re.sub(r"<(link|input) [^>]*>", "", text)).attributes
    labels = [value for tag, name, value in attributes if (tag, name) == ("label", "for")]
    assert labels == re.findall(r'<(?:textarea|input) id="([^"]+)"', text)
    assert len(set(labels)) == 4
    assert "&lt;i&gt;name" in text and '<textarea id="field-1" name="&lt;a&gt; b"' in text
    assert not re.search(r"https?:|@import|url\(|src=|innerHTML|style=| on\w+=", text)
