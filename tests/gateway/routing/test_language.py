"""Languages and code are recognised well enough for rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.code_signs import holds_code
from gateway.routing.language import language_of

SENTENCES = {
    "en": "What is the best way to learn how to swim when you are older?",
    "de": "Wie kann ich am besten schwimmen lernen, wenn ich nicht mehr jung bin?",
    "fr": "Quelle est la meilleure façon de préparer une omelette pour les enfants ?",
    "es": "¿Cuál es la mejor manera de cocinar el arroz para una familia?",
    "it": "Qual è il modo migliore per cuocere la pasta che non si attacca?",
    "pt": "Como é que eu posso cozinhar o arroz para uma família com meu filho?",
    "nl": "Wat is de beste manier om het huis van mijn oma te verven?",
    "pl": "Jak mogę nauczyć się pływać, jeśli nie jestem już młody i czy to jest trudne?",
    "sv": "Vad är det bästa sättet att lära sig att simma om jag inte är ung?",
    "ja": "東京で一番おいしいラーメンはどこですか。",
    "zh": "北京今天的天气怎么样",
    "ru": "Какая сегодня погода в Москве?",
    "uk": "Яка сьогодні погода в Києві?",
    "ko": "서울에서 가장 맛있는 음식은 무엇입니까?",
    "ar": "ما هي أفضل طريقة لتعلم السباحة؟",
    "el": "Ποιος είναι αυτός που τραγουδά σήμερα;",
    "he": "מה מזג האוויר היום?",
    "hi": "आज मौसम कैसा है?",
    "th": "วันนี้อากาศเป็นอย่างไร",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_recognised(language):
    assert language_of(SENTENCES[language]) == language


def test_code_around_a_sentence_does_not_speak():
    text = f"{SENTENCES['de']}\n```python\nif not is_ok and x in the_list: return of\n```"
    assert language_of(text) == "de"


def test_a_foreign_name_does_not_decide():
    assert language_of("What is the meaning of the word 東京 and how do you write it?") == "en"


@pytest.mark.parametrize("text", ["", "1234 5678", "ok", "qwrtz plmk", "🎉🎉🎉", "   \n"])
def test_too_little_is_unknown(text):
    assert language_of(text) == "unknown"


@given(st.text())
def test_any_text_has_an_answer(text):
    assert len(language_of(text)) in (2, 7)
    assert holds_code(text) in (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "```\nanything\n```",
        "What does this do?\ndef f(x):\n    return x + 1",
        '#include <stdio.h>\nint main() { printf("x"); }',
        "const total = items.map(item => item.price);\nconsole.log(total);",
        "Traceback (most recent call last):\n  File",
        "public static void main(String[] args) {",
        "SELECT name FROM users WHERE id == 3;\nDELETE FROM users;\nif (x) { y(); }",
        'fn main() {\n    let x = 3;\n    println!("{}", x);\n}',
        "#!/bin/sh\necho hello",
        "diff --git a/x b/x",
    ],
)
def test_code_is_recognised(text):
    assert holds_code(text)


@pytest.mark.parametrize(
    "text",
    [
        *SENTENCES.values(),
        "Write a Python function that sorts a list.",
        "Select a wine from the list; return the bottle if it is bad (or cork).",
        "My class starts at 9 -> please wake me; I return at 5.",
        "Let x = 4. What is x + 3?",
        "Dear Anna, (as I said) the function of the heart is simple: it pumps.",
    ],
)
def test_prose_is_not_code(text):
    assert not holds_code(text)
