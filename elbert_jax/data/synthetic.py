"""A synthetic data set: financial headlines from a small grammar, in four grades.

It needs no network and no file, so a fresh machine can train and compare exits at
once. A grade counts the steps of inference from the words to the label:

1. `plain`: one movement ("profit rose").
2. `negation`: a movement to be inverted, as it is denied ("does not expect profit to
   rise") or is of costs and the like, which are better lower.
3. `contrast`: two clauses, of which the main one counts, or the one after "but".
4. `distant`: a long sentence in which only the movement of the company at the head
   counts, not those of other companies.

News without a movement is neutral. The label follows from the text alone.
"""

import functools
import random
import re

from elbert_jax.data.example import Example
from elbert_jax.errors import UserError

LABELS = {"-": "negative", "=": "neutral", "+": "positive"}
GRADES = ("plain", "negation", "contrast", "distant")
SIZES = {"test": 1200, "validation": 804, "train": 12006}
# Frequencies of the grades. Training texts are mostly plain, as news is: with equal
# shares, negation would cancel what plain statements teach about "rose" and "fell", and
# training could not start from single words.
_SHARES = {"test": (1, 1, 1, 1), "validation": (1, 1, 1, 1), "train": (3, 1, 1, 1)}

# A rule lists alternatives, one of which is drawn. A placeholder `{rule}` takes the
# sign of the rule around it; a mark changes the sign: `{rule~}` to the opposite,
# `{rule!}` to one of the others, `{rule*}` to any. `rule+` is the rule for a positive
# sign; without such an entry, `rule` serves every sign.
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
    """Returns one random text of the rule with a sign."""

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
    """Returns one random text of a grade, without repeated metrics or companies."""
    once = _RULES["metric"] + _RULES["company"]
    while True:
        text = _expand(grade, sign, rng)
        if all(text.count(name) < 2 for name in once):
            return text[0].upper() + text[1:]


@functools.cache
def _splits() -> dict[str, list[Example]]:
    """Returns all splits, drawn together, so that no text is repeated."""
    rng = random.Random(0)
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


def examples(split: str) -> list[Example]:
    """Returns a split of the data set; `row["grade"]` is one of `GRADES`.

    Labels are balanced in each grade, and grades in all splits but `train`. No text is
    in two splits.
    """
    if split not in SIZES:
        known = ", ".join(SIZES)
        raise UserError(f"synthetic has no split {split!r}; there are {known}")
    return list(_splits()[split])
