"""Which language a text is in: by its script, and for Latin letters by its commonest words. Pure,
rough and quick; it serves rules such as `languages: [de]`, not linguists.
"""

import re
from typing import Final

UNKNOWN: Final = "unknown"

_READ_CHARACTERS: Final = 2000
_WORD: Final = re.compile(r"[^\W\d_]+")
_CODE: Final = re.compile(r"```.*?(```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
# A script decides when it has this share of the letters: a name or a term may be in another one.
_SCRIPT_SHARE: Final = 0.3
_SCRIPTS: Final = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "ko": re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
    "zh": re.compile("[\u3400-\u9fff]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
}
_UKRAINIAN: Final = re.compile("[іїєґІЇЄҐ]")
_KANA_SHARE: Final = 0.1  # Japanese is mostly Chinese characters; its endings give it away
_WORDS: Final = {
    "en": "the of and to in is that it for you with on this are be have what how why can do does "
    "i my me we your please write from not an at which who when make give explain should would",
    "de": "der die das und ist nicht ein eine einen zu mit auf für von den dem im ich du wir sie "
    "es wie was warum kann bitte mir mein meine auch als bei nach aus oder wenn schreibe einer",
    "fr": "le la les des un une et est que qui dans pour pas je tu nous vous ce cette au avec sur "
    "mon ma mes quel quelle comment pourquoi moi du peux plus sont écris ou se",
    "es": "el la los las un una y es que en para por con no se mi tu cómo qué cuál está del al "
    "como me lo son puedes porque más este esta escribe por favor yo",
    "it": "il lo la gli le un una e è che di in per non con sono mi come cosa perché questo questa "
    "del della dei nel puoi più anche quale scrivi io si alla",
    "pt": "o os as um uma e é que de em para não com por se meu minha como você qual está do da "
    "dos das no na mais isso este esta escreva eu ao",
    "nl": "de het een en is niet van in op voor met dat die ik je wij hoe wat waarom kan mijn aan "
    "ook als bij naar uit of schrijf zijn deze dit mij",
    "pl": "i w na z do nie jest to że się jak co dla czy mi mój moja po od ten ta są przez proszę "
    "napisz jaki jaka dlaczego ja o",
    "sv": "och att det en ett är som på för inte med av jag du vi hur vad varför kan min mitt den "
    "till skriv de om från har",
}
_WORD_SETS: Final = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_ENOUGH_WORDS: Final = 2


def language_of(text: str) -> str:
    """Two letters (ISO 639-1), or ``unknown`` for texts too short or too odd to tell."""
    prose = _CODE.sub(" ", text[:_READ_CHARACTERS])
    words = _WORD.findall(prose.lower())
    letters = sum(map(len, words))
    if not letters:
        return UNKNOWN
    if not prose.isascii():
        for language, script in _SCRIPTS.items():
            share = _KANA_SHARE if language == "ja" else _SCRIPT_SHARE
            if len(script.findall(prose)) >= share * letters:
                return "uk" if language == "ru" and _UKRAINIAN.search(prose) else language
    hits = {
        language: sum(word in common for word in words) for language, common in _WORD_SETS.items()
    }
    best, second = sorted(hits, key=lambda language: -hits[language])[:2]
    if hits[best] < _ENOUGH_WORDS or hits[best] == hits[second]:
        return UNKNOWN
    return best
