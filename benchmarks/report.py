"""Tables and JSON of what the benchmarks measured."""

import dataclasses
import json
import statistics
from typing import Dict, List, Optional

import tabulate


@dataclasses.dataclass
class Result:
    """What one program did in one case, round by round.

    Attributes:
        part: of settings.PARTS.
        case: what was done, such as "CoLA, base, fp32, batch 16".
        who: the program or its variant.
        unit: of the values.
        rounds: a value for each round.
        ratios: of each round: the value over that of the first program of the case, in the same
            round, so that other load on the machine affects both alike. None for the first.
        share_of_peak: of each round: operations per second over those of a matrix product.
    """

    part: str
    case: str
    who: str
    unit: str
    rounds: List[float]
    ratios: Optional[List[float]] = None
    share_of_peak: Optional[List[float]] = None


def results_of(part, case, unit, rounds: Dict[str, List[float]], shares=None) -> List[Result]:
    """Returns the Results of a case; the first program is the one that ratios refer to."""
    if not rounds:
        return []
    first = next(iter(rounds))
    return [
        Result(
            part,
            case,
            who,
            unit,
            values,
            _ratios(values, rounds[first]) if who != first else None,
            (shares or {}).get(who),
        )
        for who, values in rounds.items()
    ]


def _ratios(values, references):
    return [one / two for one, two in zip(values, references)] if all(references) else None


def table(results: List[Result]) -> str:
    """Returns a Markdown table: a row for each program of each case."""
    rows, last = [], None
    for result in results:
        case = result.case if result.case != last else ""
        last = result.case
        row = [case, result.who, _value(statistics.median(result.rounds)), result.unit]
        rows.append([*row, spread(result.ratios, ".2f"), spread(result.share_of_peak, ".0%")])
    headers = ["measured", "program", "median", "unit", "ratio to first", "share of peak"]
    if not any(result.share_of_peak for result in results):
        rows, headers = [row[:-1] for row in rows], headers[:-1]
    return tabulate.tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def spread(values: Optional[List[float]], form: str) -> str:
    """Returns `median (least to most)`; a single value alone, and nothing without values."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    median, least, most = statistics.median(values), min(values), max(values)
    return f"{median:{form}} ({least:{form}} to {most:{form}})"


def _value(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def write_json(path, machine, settings, results, skipped):
    """Writes everything, with the medians, to a file."""
    content = {
        "machine": machine,
        "settings": settings,
        "results": [
            dict(dataclasses.asdict(result), median=statistics.median(result.rounds))
            for result in results
        ],
        "skipped": skipped,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
