"""The embedded set: financial headlines from a small grammar, in four grades.

It needs no network and no file, so a fresh machine can train and compare exits at
once. A grade counts the steps from the words to the label:

1. `plain`: read one movement ("profit rose"; of costs and the like, "costs fell").
2. `negation`: read it, then turn it round: a denied fall is good news, a denied rise
   is bad news.
3. `contrast`: choose between two clauses, then read. The main clause counts, and the
   clause after "but".
4. `distant`: find the movement of the company at the head, far away among those of
   other companies, which say nothing about it; then read.

News without a movement is neutral. The label follows from the text alone.
"""

import functools
import random
import re
from collections.abc import Iterator

from elbert_jax.data.sources import Example

LABELS = {"-": "negative", "=": "neutral", "+": "positive"}
GRADES = ("plain", "negation", "contrast", "distant")
SIZES = {"test": 1200, "validation": 804, "train": 6000}  # multiples of 12: balanced

# A rule lists alternatives, one of which is drawn. A slot `{rule}` carries the sign of
# the rule that holds it; a mark turns the sign: `{rule~}` into the opposite one,
# `{rule!}` into one of the others, `{rule*}` into any. `rule+` is the rule for a
# positive sign; without such an entry, `rule` serves every sign.
_RULES = {
    "plain": [
        "{company} {past} {time}",
        "{company} said {past} {time}",
        "{company} reported {time} that {past}",
        "{company} expects {future} {time}",
    ],
    "plain=": [
        "{company} {past} {time}",
        "{company} said {past} {time}",
        "{company} {announced} {time}",
        "{company} expects {future} {time}",
    ],
    "negation": [
        "{company} does not expect {future~} {time}",
        "{company} no longer expects {future~} {time}",
        "{company} expects {choice} {time}",
        "{company} said {burden~} {time}",
    ],
    "negation=": [
        "{company} expects {metric} neither to {rise} nor to {fall} {time}",
        "{company} expects {metric} neither to {fall} nor to {rise} {time}",
        "{company} has not {announced} {time}",
        "{company} said {burden} {time}",
    ],
    "contrast": [
        "{although} {past!} {time}, {company} {past}",
        "{company} {past} {time}, {although} {past!}",
        "{company} {past!} {time}, but {past}",
        "{company} said {past!}, but {past} {time}",
    ],
    "distant": [
        "{company}, {aside*}, and {aside*}, said its own {past}",
        "{company}, {aside*}, said, {meanwhile*}, that its own {past}",
        "{company} said its own {past}, {meanwhile*} and {meanwhile*}",
    ],
    "aside": [
        "which bought the {trade} group {company}, whose {past}",
        "whose {nation} rival {company} said {past}",
        "which sells to {company}, where {past}",
    ],
    "meanwhile": [
        "as the {trade} group {company} said {past}",
        "while at {nation} {company} {past}",
        "days after its rival {company} said {past}",
    ],
    "past+": ["{metric} {rose}{by}"],
    "past=": ["{metric} {held}"],
    "past-": ["{metric} {fell}{by}"],
    "future+": ["{metric} to {rise}"],
    "future=": ["{metric} to {hold}"],
    "future-": ["{metric} to {fall}"],
    "choice+": ["{metric} to {rise} and not to {fall}"],
    "choice-": ["{metric} to {fall} and not to {rise}"],
    "burden+": ["{cost} {rose}{by}"],
    "burden=": ["{cost} {held}"],
    "burden-": ["{cost} {fell}{by}"],
    "announced": [
        "named a new {officer}",
        "published its {paper}",
        "moved its archive to {city}",
    ],
    "company": ["{name}{branch}"],
    "by": ["", "", "", " {number} %", " by {number} %"],
    "number": [str(number) for number in range(2, 100)],
    "time": ["in {month}", "on {day}", "in the {nth} quarter", "in early {month}"],
}
_WORDS = {
    "although": "although, though, even though",
    "name": "Nord, Vest, Alma, Bruk, Carl, Dala, Elm, Fjord, Gran, Hav, Isen, Jarl, "
    "Kron, Lind, Mark, Orion, Polar, Rhein, Sund, Tor, Ulm, Varg, Ymir, Zeta",
    "branch": "bank, oil, tech, stahl, media, pharma, food, mobil, kraft, ship, data, "
    "invest, glas, bygg, tele, air",
    "metric": "profit, net profit, operating profit, sales, net sales, revenue, "
    "turnover, income, orders, earnings, margins, exports, output, deliveries, "
    "dividends, demand, bookings, cash flow",
    "cost": "costs, losses, debt, arrears, wages, bad loans, write-downs, overheads",
    "rise": "rise, climb, grow, jump, increase, soar",
    "rose": "rose, climbed, grew, jumped, increased, soared",
    "fall": "fall, drop, decline, shrink, decrease, sink",
    "fell": "fell, dropped, declined, shrank, decreased, sank",
    "hold": "stagnate, stall, level off, stabilize, plateau, hold steady",
    "held": "stagnated, stalled, levelled off, stabilized, plateaued, held steady",
    "officer": "chairman, finance chief, head of research, auditor, adviser",
    "paper": "annual report, agenda, calendar, prospectus, new logo",
    "city": "Oslo, Turku, Lund, Aarhus, Riga, Tartu, Bergen, Gdansk, Kiel, Vaasa",
    "nation": "Finnish, Swedish, Danish, Baltic, German, Polish, Dutch, Norwegian",
    "trade": "retail, steel, shipping, paper, energy, dairy, mining, travel",
    "day": "Monday, Tuesday, Wednesday, Thursday, Friday",
    "nth": "first, second, third, fourth",
    "month": "January, February, March, April, May, June, July, August, September, "
    "October, November, December",
}
_RULES |= {rule: words.split(", ") for rule, words in _WORDS.items()}


def _expand(rule: str, sign: str, rng: random.Random) -> str:
    """Returns one text that the rule makes for a sign."""

    def fill(slot: re.Match[str]) -> str:
        others = [other for other in LABELS if other != sign]
        turned = {"": sign, "~": {"+": "-", "-": "+"}.get(sign, sign)}
        turned |= {"!": rng.choice(others), "*": rng.choice(list(LABELS))}
        return _expand(slot["rule"], turned[slot["mark"]], rng)

    text = rng.choice(_RULES.get(rule + sign) or _RULES[rule])
    return re.sub(r"{(?P<rule>\w+)(?P<mark>[~!*]?)}", fill, text)


@functools.cache
def _splits(seed: int) -> dict[str, list[Example]]:
    """Returns every split; they are drawn in one go, so that no text stands twice."""
    rng = random.Random(seed)
    cells = [(grade, sign) for grade in GRADES for sign in LABELS]
    seen: set[str] = set()

    def draw(grade: str, sign: str) -> str:
        while True:
            text = _expand(grade, sign, rng)
            # "sales rose, but sales fell" is no headline.
            repeats = any(text.count(metric) > 1 for metric in _RULES["metric"])
            if text not in seen and not repeats:
                seen.add(text)
                return text[0].upper() + text[1:]

    def split(name: str) -> Iterator[Example]:
        for index in range(SIZES[name]):
            grade, sign = cells[index % len(cells)]
            text, label = draw(grade, sign), LABELS[sign]
            row = {"text": text, "label": label, "grade": grade}
            yield Example(f"{name}-{index}", text, label=label, row=row)

    return {name: list(split(name)) for name in SIZES}


def examples(split: str, seed: int = 0) -> list[Example]:
    """Returns a split of the embedded set: every twelve in a row hold each grade and
    label once, and `row["grade"]` says how many steps a text takes.

    Args:
      split: `train`, `validation` or `test`; no text of one stands in another.
      seed: another seed draws another set from the same grammar.

    Raises:
      ValueError: on another split.
    """
    if split not in SIZES:
        raise ValueError(f"split is {split!r}; it may be {', '.join(SIZES)}")
    return list(_splits(seed)[split])
