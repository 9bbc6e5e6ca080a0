"""Names and values that fill the facts of the demo sessions.

They are drawn from pools large enough, with made-up words among them, that only the context can answer.
"""

from __future__ import annotations

from random import Random

__all__ = [
    "ADJECTIVES",
    "ANIMALS",
    "CITIES",
    "DAYS",
    "FAVOURITES",
    "FOODS",
    "LIBRARIES",
    "PETS",
    "TROUBLES",
    "date",
    "made_up",
    "path",
    "person",
    "project",
    "service",
    "ticket",
    "topic",
    "variable",
]

ADJECTIVES = (
    "staging billing payments search report image ledger mobile partner archive audit backup invoice signup legacy "
    "public nightly metrics session orders login export import pricing support catalog chat video analytics review"
).split()
_NOUNS = (
    "database api worker gateway queue cache service proxy cluster scheduler dashboard pipeline broker mirror indexer"
).split()
_PROJECTS = (
    "orchid falcon lantern harbor maple quartz ember comet willow basil onyx tundra cobalt meadow saffron pepper "
    "juniper raven coral thistle glacier mosaic nimbus atlas borealis"
).split()
_NAMES = (
    "Mira Tomas Priya Jonas Lena Omar Sofia Ravi Elena Marcus Yuki Nadia Felix Ingrid Pablo Amara Viktor Chloe Dario "
    "Freya Hugo Leila Oscar Petra Quinn Rosa Samir Tessa Ulrich Wanda Anton Bianca Carlos Diana Emil Greta Hana Igor "
    "Julia Kofi"
).split()
_VERBS = (
    "ship roll push launch build pack clean sync seed reset check lint bench trace watch start stop load dump merge "
    "split fetch patch cut tag run prep warm drain swap"
).split()
_FOLDERS = "ops tools scripts bin ci infra deploy util jobs dev hack make".split()
_SUFFIXES = "sh py js rb pl".split()
CITIES = (
    "Lisbon Oslo Prague Kyoto Dublin Vienna Porto Zurich Athens Boston Denver Lima Nairobi Seoul Tallinn Turin Ghent "
    "Cork Lyon Malmo"
).split()
FOODS = "peanuts shrimp walnuts milk eggs wheat soy sesame celery mustard kiwi mango strawberries pollen".split()
PETS = "cat dog parrot rabbit hamster turtle lizard horse".split()
ANIMALS = (
    "heron otter badger lynx puffin marten bison gecko ibis condor raccoon walrus stork weasel dingo tapir"
).split()
_MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
LIBRARIES = "python node postgres redis nginx rust django react numpy kafka".split()
_TOPICS = "planning budget security design hiring onboarding retro roadmap review launch standup pricing".split()
TROUBLES = "bug outage leak crash refactor rewrite".split()
FAVOURITES = {
    "colour": "green teal crimson amber violet indigo scarlet olive beige turquoise".split(),
    "tea": "oolong sencha rooibos chamomile matcha assam darjeeling".split(),
    "editor": "vim emacs helix nano kakoune zed sublime micro".split(),
    "sport": "tennis rowing fencing climbing cycling judo hockey sailing".split(),
    "fruit": "mango plum cherry papaya quince apricot fig lychee".split(),
}
_HEADS = "ka zo mi ter bal vun dra sel po fri gar lo nim tha quo bex jul wyr sha cor".split()
_TAILS = "len vik tan dor mir sa ro ki nex ba lum pha gi zen ard oth us el in ya".split()


def made_up(random: Random, *, capital: bool = False) -> str:
    """Return a pronounceable word that is in no pool."""
    word = random.choice(_HEADS) + random.choice(_TAILS) + (random.choice(_TAILS) if random.random() < 0.4 else "")
    return word.capitalize() if capital else word


def service(random: Random) -> str:
    """Return the name of a service, such as "billing queue"."""
    first = made_up(random) if random.random() < 0.15 else random.choice(ADJECTIVES)
    return f"{first} {random.choice(_NOUNS)}"


def project(random: Random) -> str:
    """Return the name of a project."""
    return made_up(random) if random.random() < 0.25 else random.choice(_PROJECTS)


def person(random: Random) -> str:
    """Return a first name."""
    return made_up(random, capital=True) if random.random() < 0.2 else random.choice(_NAMES)


def path(random: Random) -> str:
    """Return the path of a script, such as "ops/ship-logs.sh"."""
    stem = made_up(random) if random.random() < 0.2 else random.choice(_VERBS)
    more = "-" + random.choice(_VERBS) if random.random() < 0.3 else ""
    return f"{random.choice(_FOLDERS)}/{stem}{more}.{random.choice(_SUFFIXES)}"


def date(random: Random) -> str:
    """Return a day of the year, such as "March 4"."""
    return f"{random.choice(_MONTHS)} {random.randint(1, 28)}"


def variable(random: Random) -> str:
    """Return the name of an environment variable that holds a secret."""
    stem = made_up(random) if random.random() < 0.3 else random.choice(_PROJECTS)
    return f"{stem.upper()}_{random.choice(['KEY', 'TOKEN', 'SECRET'])}"


def ticket(random: Random) -> str:
    """Return the number of a ticket, such as "OPS-1234"."""
    return f"{random.choice(['OPS', 'ENG', 'WEB', 'DATA', 'SEC'])}-{random.randint(100, 9999)}"


def topic(random: Random) -> str:
    """Return what a meeting is about."""
    return random.choice(_TOPICS) if random.random() < 0.7 else made_up(random)
