"""Cases for relabeling, the same ones for the same seed: steps of every action, odd patterns, odd labels, long chains."""

from __future__ import annotations

import random
from typing import Any

Case = dict[str, Any]
"""`steps`, each with all its fields as a PyroscopeScrape names them, and `labels`."""
Step = dict[str, Any]

_NAMES = (
    "app", "team", "tier", "a", "b", "c", "job", "instance", "namespace", "_x", "__address__", "__scheme__",
    "__param_debug", "__tmp", "__meta_kubernetes_pod_label_app", "__meta_kubernetes_pod_label_team",
    "__meta_kubernetes_pod_label_9x", "__meta_kubernetes_pod_labelpresent_app",
    "__meta_kubernetes_pod_annotation_port", "__meta_kubernetes_pod_ip",
)  # fmt: skip
_VALUES = (
    "", "x", "a", "ab", "abab", "web-0", "10.0.0.1:6060", "[fd00::1]:80", "true", "0", "a;b", "a\nb", "\n",
    "a\r\nb\n", " ", "a b", "ÄÖÜ", "ß", "straße", "İstanbul", "ı", "ΑΣ", "ὈΔΥΣΣΕΎΣ", "ǆ", "ᾳ", "ﬁ", "漢字", "😀",
    "a😀b", "é", "\u2028", "\x00", "a\x00b", "K", "ſ", "�", "$1", "${1}", "\\", "checkout.shop.svc:8080",
    "v1.2.3-rc.4", "a,b,c", "x" * 300, "日本" * 40,
)  # fmt: skip
_SEPARATORS = (";", ";", ";", "", ",", "/", "@", "::", "é", "\n", "$1", "😀")
_MODULI = (1, 2, 3, 7, 8, 10, 1000, 2**31 - 1)
_TARGETS = ("a", "b", "out", "team", "__tmp", "__address__", "job", "_")
_TARGET_TEMPLATES = ("$1", "${1}", "x_$1", "${1}_x", "$name", "${name}", "x_${2}", "${1}${2}", "$1_x", "a$name", "$9", "${9}x")
_REPLACEMENTS = (
    "$1", "$1", "$1", "${1}", "$2", "$2-$1", "${2}:${1}", "$0", "${0}", "$name", "${name}", "$1x", "${1}x",
    "$1_", "$$", "$$1", "$$$1", "$", "a$", "$-", "${", "${}", "${1", "${1-}", "${ 1}", "$01", "${01}", "$10",
    "${999999999}", "$1234567890", "$É", "${é}x", "$1é", "", "x", "fixed", "日本$1", r"\1", "$1$1$1", "$name$1",
    "$_", "$a_b", "\n$1", "$²", "$١",
)  # fmt: skip
_MAP_REPLACEMENTS = ("$1", "${1}", "x_$1", "${1}_x", "$name", "fixed", "__tmp_$1", "$2$1", "${1}${1}", "$1x")
_WHOLE = (
    "(.*)", "(.+)", ".*", ".+", "", "()", "a", "a|b", "a|ab", "(a|ab)(b*)", "(a)|(b)", "(?P<name>.*)",
    "(?P<name>a+)(.*)", "(?<name>.+)", "(?P<name>[^:]+):(.*)", r"([^:]+)(?::\d+)?", r"(.*):(\d+)",
    r"\[(.+)\]:(\d+)", r"(\d+)", r"\w+", r"(\W*)(\w*)", r"\s*", r"(\S+)", r"\D+", "(?i)AB", "(?i)straße",
    "(?i)k", "(?i:(S))", "(?s).", "(?-s).", "(?-s:.*)", "(?m)^a$", "(?m)a$.*", "(?m:^b$)", "(?U)(a*)(.*)",
    "(?U)(.+)(.*)", "a*?(a*)", "(a*?)(a*)", "(a??)(.*)", "(a{2})*(.*)", "(?:ab){2}", "a{0}", "(a{0,2})(.*)",
    "x{300}", ".{3}", ".{0,3}(.*)", "(.)", "(..)", "^a$", "^$", "^", "$", r"\Aa\z", r"\bweb\b.*", r".*\B.",
    r"\B", r"\b", r"\pL+", r"\p{L}+(.*)", r"(\p{Lu}*)(.*)", r"\P{L}*", r"\p{Greek}+", r"\p{Han}*",
    r"[\p{L}\d]+", r"[^\p{L}]+", "[[:alpha:]]+", "[[:^alpha:]]*", "[[:word:]]+(.*)", "[^a]*", "[^\n]*",
    "[a-c]+", "[]a]+", "[^]a]+", r"[a\]]+", "[-a]+", "[a-]+", "[ä-ü]+", "[漢字]+", "[😀]", r"\x61", r"\x{1F600}",
    r"\141", r"\x{10FFFF}?.*", r"\Qa.b\E|a", r"\Q$1\E", r"\$1", r"\$\{1\}", "\\\\", r"\t|\n|\r\n?", r"\a|\f|\v",
    r"a\nb", "a\nb", "(a)(b)?", "((a)|b)*", "(a|b)*(b)?", "(?:(a)|(b)|(.))*", "(|a)*", "(|a)+", "(a|)+(.*)",
    "(a*)*", "(a*)+(.*)", "(.*)(.*)", "(.*?)(.*)", "(((.)))?.*", "(?:)", "a)|(b", "x)|(.*", "x)|(", "a)|(?:(b)",
    ".)*(.*", "$)|(^", "b)$|^(a", "__meta_kubernetes_pod_label_(.+)",
    "__meta_kubernetes_pod_(label|annotation)_(.+)", "__meta_(?P<name>.*)", "__.*", "(__meta|team).*", "[a-c]",
    "(t)eam", "_+(.*)_+", "(?P<_>.)(.*)", "(?P<a_b>.*)", "(?P<1>.)(.*)", "(?P<01>.)(.*)",
)  # fmt: skip
_REFUSED = (
    "(", ")", "[", "[]", "[a", "a**", "*", "+a", "?", "a{2}{3}", "a{1001}", "(a{1000}){2}", "a{3,2}",
    "x{2147483648}", "x{2,123456789}", "(?P<>a)", "(?P<É>x)?.*", "(?P<n-m>a)", "(?P<n", "(?P=n)", r"\1",
    "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "a++", "a?+", r"\C", r"a\C*", r"(?i)\Cx", r"\\\C", r"\Z",
    r"\G", r"\e", r"\8", r"\pX", r"\p{Nope}", r"\p", r"\p{", r"\p{L", r"[\pX]", "[b-a]", r"[a-\d]", "[[:foo:]]",
    "(?z)a", "(?i", "(?", "(?:", "a(?i", "\\", r"\x", r"\x{", r"\x{110000}", r"\x{}", r"\xg", r"\uD800", r"\Qa",
    r"[\Qa\E]", r"[\C]", "a|*", "(*)", "(|*)", "^*", "$*", "(?i)*", "))((", "a))|((b", "(?<1-a>x)", r"\cA",
    r"\h", r"\R", r"\X", r"\K", "(?#c)a", "(?|a)", "(?x) a", r"\é",
)  # fmt: skip
"""What one of the two, or both, may refuse."""
_ATOMS = (
    "a",
    "b",
    ".",
    "x",
    r"\w",
    r"\d",
    "[ab]",
    "[^a]",
    "é",
    "漢",
    r"\.",
    "-",
    ":",
    "_",
    r"\pL",
    "(?i:A)",
    "\\b",
    "^",
    "$",
    r"[\w.-]",
    " ",
    "(?s:.)",
    "",
)


STEP: Step = {
    "action": "replace",
    "sourceLabels": [],
    "separator": ";",
    "regex": "(.*)",
    "targetLabel": "",
    "modulus": 0,
    "replacement": "$1",
}
"""A step with its defaults; empty ones stand for absent ones."""
ACTIONS = (
    "replace", "keep", "drop", "keepequal", "dropequal", "hashmod",
    "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase",
)  # fmt: skip
_CHANGING = (*("replace",) * 8, *("labelmap",) * 3, *("labeldrop",) * 2, "hashmod", "lowercase", "uppercase")
_OFTEN = (*_CHANGING, "keep", "drop", "keepequal", "dropequal", "labelkeep")
_OTHERS: dict[str, Any] = {
    "sourceLabels": ["a"],
    "targetLabel": "a",
    "separator": ",",
    "regex": "x",
    "modulus": 3,
    "replacement": "x",
}


def _with_one(action: str, fields: str, **given: Any) -> list[Step]:
    """Steps that have one of these fields more than they should."""
    return [{"action": action, **given, field: _OTHERS[field]} for field in fields.split()]


MEANINGLESS: list[Step] = [
    *_with_one("keepequal", "regex separator replacement modulus", targetLabel="a"),
    *_with_one("dropequal", "regex separator replacement modulus", targetLabel="a"),
    *_with_one("lowercase", "replacement", targetLabel="a"),
    *_with_one("uppercase", "replacement", targetLabel="a"),
    *_with_one("labeldrop", "sourceLabels targetLabel separator replacement modulus"),
    *_with_one("labelkeep", "sourceLabels targetLabel separator replacement modulus"),
    *({"action": "labelmap", "replacement": text} for text in ("a-b", "", "$")),
    *({"action": "replace", "targetLabel": text} for text in ("", "a-b", "$-", "1a")),
    *({"action": action, "targetLabel": "$1", "modulus": 3} for action in ("hashmod", "lowercase", "uppercase")),
    {"action": "keepequal", "targetLabel": "$1"},
    {"action": "hashmod", "targetLabel": "a"},
]
"""Steps with a field that their action does not take, or needs otherwise."""


def make(seed: int, number: int) -> list[Case]:
    """So many cases, each with at least one step."""
    dice = random.Random(seed)
    return [_case(dice) for _ in range(number)]


def refused(seed: int, number: int) -> list[Case]:
    """One step each, whose pattern is likely none."""
    dice = random.Random(seed)
    patterns = [*_REFUSED, *(_broken(dice) for _ in range(number - len(_REFUSED)))]
    return [{"steps": [_step(dice, "replace") | {"regex": pattern}], "labels": _labels(dice)} for pattern in patterns]


def _case(dice: random.Random) -> Case:
    length = dice.choice((1, 1, 1, 2, 2, 3, 4, 6, 10, 20, 50))
    # A long chain that drops the target at once says nothing of its other steps.
    actions = [dice.choice(_OFTEN if dice.random() < 5 / length else _CHANGING) for _ in range(length)]
    return {"steps": [_step(dice, action) for action in actions], "labels": _labels(dice)}


def _labels(dice: random.Random) -> dict[str, str]:
    names = dice.sample(_NAMES, dice.randint(0, len(_NAMES)))
    return {name: dice.choice(_VALUES) for name in names}


def _step(dice: random.Random, action: str) -> Step:
    made = STEP | {"action": action}
    if action not in {"labelmap", "labeldrop", "labelkeep"}:
        made["sourceLabels"] = dice.choices(_NAMES, k=dice.choice((0, 1, 1, 1, 2, 2, 3, 17)))
    if action in {"replace", "keep", "drop", "hashmod", "lowercase", "uppercase"}:
        made["separator"] = dice.choice(_SEPARATORS)
    if action in {"replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep"}:
        made["regex"] = _pattern(dice)
    if action in {"hashmod", "lowercase", "uppercase", "keepequal", "dropequal"}:
        made["targetLabel"] = dice.choice(_TARGETS)
    if action in {"keepequal", "dropequal"} and made["sourceLabels"] and dice.random() < 0.5:
        made["sourceLabels"] = made["sourceLabels"][:1]
        made["targetLabel"] = made["sourceLabels"][0]  # equal, if there
    if action == "hashmod":
        made["modulus"] = dice.choice(_MODULI)
    if action == "replace":
        made["targetLabel"] = dice.choice(_TARGETS + _TARGET_TEMPLATES)
        made["replacement"] = dice.choice(_REPLACEMENTS)
    if action == "labelmap":
        made["replacement"] = dice.choice(_MAP_REPLACEMENTS)
    return made


def _pattern(dice: random.Random) -> str:
    if dice.random() < 0.6:
        return dice.choice(_WHOLE)
    return _expression(dice, 3)


def _expression(dice: random.Random, depth: int) -> str:
    """A pattern from a small grammar."""
    if not depth:
        return dice.choice(_ATOMS)
    inner = [_expression(dice, depth - 1) for _ in range(dice.choice((1, 2, 2, 3)))]
    match dice.randrange(6):
        case 0:
            return "|".join(inner)
        case 1:
            return f"({''.join(inner)})" + dice.choice(("", "*", "+", "?", "*?", "{0,2}", "+?"))
        case 2:
            return f"(?:{''.join(inner)})" + dice.choice(("", "*", "?", "{2}", "??"))
        case 3:
            return f"({'|'.join(inner)})"
        case _:
            return "".join(inner) + dice.choice(("", "", ".*", "(.*)"))


def _broken(dice: random.Random) -> str:
    r"""A pattern with a few characters added, lost or changed; without \p, whose names Go knows by more spellings than RE2."""
    text = list(dice.choice([whole for whole in _WHOLE + _REFUSED if r"\p" not in whole.lower()]))
    for _ in range(dice.choice((1, 1, 2, 3))):
        at = dice.randint(0, len(text))
        text[at : at + dice.choice((0, 0, 1, 2))] = dice.choice("()[]{}?*+|\\^$.-:<>=!aLQECzbx1,0é\n")
    return "".join(text)
