"""The embedded set: financial headlines from a small grammar, in four grades.

It needs no network and no file, so a fresh machine can train and compare exits at
once. A grade counts the steps from the words to the label:

1. `plain`: read one movement ("profit rose").
2. `negation`: read it, then turn it round: it is denied ("does not expect profit to
   rise"), or it is one of costs and the like, which are better lower.
3. `contrast`: choose between two clauses, then read. The main clause counts, and the
   clause after "but".
4. `distant`: find the movement of the company at the head among those of other
   companies, which say nothing about it, in a long sentence; then read.

News without a movement is neutral. The label follows from the text alone.
"""

import functools
import random
import re

from elbert_jax.data.example import Example

LABELS = {"-": "negative", "=": "neutral", "+": "positive"}
GRADES = ("plain", "negation", "contrast", "distant")
SIZES = {"test": 1200, "validation": 804, "train": 12006}
# How often each grade is drawn. Training texts are mostly plain, as news is: were all
# grades alike, negation would undo what plain statements teach about "rose" and "fell",
# and nothing would be learned from single words to begin with.
_SHARES = {"test": (1, 1, 1, 1), "validation": (1, 1, 1, 1), "train": (3, 1, 1, 1)}

# A rule lists alternatives, one of which is drawn. A slot `{rule}` carries the sign of
# the rule that holds it; a mark turns the sign: `{rule~}` into the opposite one,
# `{rule!}` into one of the others, `{rule*}` into any. `rule+` is the rule for a
# positive sign; without such an entry, `rule` serves every sign.
_RULES = {
    "plain": [
        "{company} {past} {time}",
        "{company} said {past} {time}",
        "{company} reported {time} that {past}",
        "{company} expects {metric} to {move} {time}",
    ],
    "plain=": [
        "{company} {past} {time}",
        "{company} said {past} {time}",
        "{company} {announced} {time}",
        "{company} expects {metric} to {move} {time}",
    ],
    "negation": [
        "{company} does not expect {metric} to {move~} {time}",
        "{company} no longer expects {metric} to {move~} {time}",
        "{company} expects {metric} to {move} and not to {move~} {time}",
        "{company} said {cost} {moved~}{by~} {time}",
    ],
    "negation=": [
        "{company} expects {metric} neither to {move+} nor to {move-} {time}",
        "{company} expects {metric} neither to {move-} nor to {move+} {time}",
        "{company} has not {announced} {time}",
        "{company} said {cost} {moved}{by} {time}",
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
    "past": ["{metric} {moved}{by}"],
    "by": ["", "", "", " {number} %", " by {number} %"],
    "by=": ["", "", "", " at EUR {number} m"],
    "announced": [
        "named a new {officer}",
        "published its {paper}",
        "moved its archive to {city}",
    ],
    "time": ["in {month}", "on {day}", "in the {nth} quarter", "in early {month}"],
    "number": [str(number) for number in range(2, 100)],
}
_WORDS = {
    "metric": "profit, net profit, operating profit, sales, net sales, revenue, "
    "orders, turnover, income, earnings, margins, exports, output, deliveries, "
    "dividends, demand, bookings, cash flow",
    "cost": "costs, losses, debt, arrears, wages, bad loans, write-downs, overheads",
    "move+": "rise, climb, grow, jump, increase, soar",
    "move=": "stagnate, stall, level off, stabilize, plateau, hold steady",
    "move-": "fall, drop, decline, shrink, decrease, sink",
    "moved+": "rose, climbed, grew, jumped, increased, soared",
    "moved=": "stagnated, stalled, levelled off, stabilized, plateaued, held steady",
    "moved-": "fell, dropped, declined, shrank, decreased, sank",
    "although": "although, though, even though",
    "company": "Nordbank, Vestoil, Almatech, Brukstahl, Carlmedia, Dalapharma, "
    "Elmfood, Fjordship, Granpaper, Havdata, Isenglas, Jarlbygg, Kronkraft, Lindtele, "
    "Markair, Orionpower, Polarmet, Rheinbau, Sundinvest, Torgas, Ulmchip, Vargsteel, "
    "Ymirdrug, Zetalink, Astor, Borealis, Castrel, Delvia, Emtron, Faxela, Geltor",
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
        turned = {
            "": [sign],
            "~": [{"-": "+", "=": "=", "+": "-"}[sign]],
            "!": [other for other in LABELS if other != sign],
            "*": list(LABELS),
        }
        return _expand(slot["rule"], rng.choice(turned[slot["mark"]]), rng)

    text = rng.choice(_RULES.get(rule + sign) or _RULES[rule])
    return re.sub(r"{(?P<rule>\w+[+-]?)(?P<mark>[~!*]?)}", fill, text)


def _headline(grade: str, sign: str, rng: random.Random) -> str:
    """Returns one text of a grade that names no metric and no company twice."""
    once = _RULES["metric"] + _RULES["company"]
    while True:
        text = _expand(grade, sign, rng)
        if all(text.count(name) < 2 for name in once):
            return text[0].upper() + text[1:]


@functools.cache
def _splits(seed: int) -> dict[str, list[Example]]:
    """Returns every split; they are drawn in one go, so that no text stands twice."""
    rng = random.Random(seed)
    seen: set[str] = set()
    splits: dict[str, list[Example]] = {split: [] for split in SIZES}
    for split, size in SIZES.items():
        grades = [g for g, n in zip(GRADES, _SHARES[split]) for _ in range(n)]
        cells = [(grade, sign) for grade in grades for sign in LABELS]
        while len(splits[split]) < size:
            grade, sign = cells[len(splits[split]) % len(cells)]
            text, label = _headline(grade, sign, rng), LABELS[sign]
            if text not in seen:
                seen.add(text)
                name = f"{split}-{len(splits[split])}"
                row = {"text": text, "label": label, "grade": grade}
                splits[split].append(Example(name, text, label=label, row=row))
    return splits


def examples(split: str, seed: int = 0) -> list[Example]:
    """Returns a split of the embedded set, whose `row["grade"]` is a word of `GRADES`.

    Labels are balanced in each grade, and grades in all splits but `train`.

    Args:
      split: `train`, `validation` or `test`; no text of one stands in another.
      seed: another seed draws another set from the same grammar.

    Raises:
      ValueError: there is no such split.
    """
    if split not in SIZES:
        raise ValueError(f"split is {split!r}; it may be {', '.join(SIZES)}")
    return list(_splits(seed)[split])
