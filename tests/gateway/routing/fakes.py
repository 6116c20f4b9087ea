"""Experts that routing may ask: an embedder without a model, a classifier that obeys the test."""

import json
import math
import random
import re
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.gateway_settings import GatewaySettings
from gateway.errors import UpstreamFailed
from gateway.routing.facts import Facts, read_facts
from gateway.routing.labelled_set import Labelled, read_labelled

HERE = Path(__file__).parent
DIMENSION = 512
_COMMON = (
    "a an the of and or to in on at is are be was were do does did i my me you your it its this "
    "that these those with for from by as not no so than then there their them they he she his her "
    "we our us will would can could should how what why who which when where please below"
)
STOP_WORDS = frozenset(_COMMON.split())


def hashed_vector(text: str) -> list[float]:
    """Words and the character fours within them, hashed into buckets; a number is a number."""
    vector = [0.0] * DIMENSION
    vector[0] = 1e-6  # a text without words has a direction too
    for word in re.findall(r"[^\W\d_]+|\d+|[^\w\s]", text.lower()):
        weight = 0.2 if word in STOP_WORDS or not word[0].isalnum() else 1.0
        padded = "<0>" if word.isdigit() else f"<{word}>"
        grams = [padded[n : n + 4] for n in range(len(padded) - 3)] or [padded]
        features = [(padded, weight)] + [(gram, 0.5 * weight / len(grams) ** 0.5) for gram in grams]
        for feature, amount in features:
            hashed = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            vector[hashed % DIMENSION] += amount if hashed & 0x10000 else -amount
    length = math.hypot(*vector)
    return [number / length for number in vector]


def embeddings(texts: Sequence[str]) -> bytes:
    """An answer of /v1/embeddings; the order of its rows is not that of the texts."""
    rows = [{"index": n, "embedding": hashed_vector(text)} for n, text in enumerate(texts)]
    return json.dumps({"object": "list", "data": rows[::-1]}).encode()


def completion(said: object) -> bytes:
    message = {"role": "assistant", "content": said}
    return json.dumps({"choices": [{"index": 0, "message": message}]}).encode()


@dataclass
class Experts:
    """Stands for the experts routing asks; ``asked`` has every question."""

    says: str = '{"expert": "general"}'
    asked: list[tuple[str, str, dict]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    instead: Callable[[str], Awaitable[bytes] | bytes] | None = None

    async def ask(self, expert: str, path: str, body: bytes) -> bytes:
        document = json.loads(body)
        self.asked.append((expert, path, document))
        if expert in self.down:
            raise UpstreamFailed(f"{expert} is down")
        if self.instead is not None:
            answer = self.instead(expert)
            return answer if isinstance(answer, bytes) else await answer
        if path == "/v1/embeddings":
            return embeddings(document["input"])
        return completion(self.says)

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    def texts(self) -> list[str]:
        """Every text that was embedded."""
        return [text for _, _, body in self.asked for text in body.get("input", [])]


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


EXPERTS: dict[str, dict] = {
    "general": {"description": "Everyday questions, stories, advice."},
    "coder": {"description": "Writing, reading and mending source code."},
    "math": {"description": "Calculations, equations, proofs."},
    "translation": {"description": "Translating between languages."},
    "extraction": {"description": "Pulling facts out of texts as JSON."},
    "vision": {"description": "Looking at pictures.", "capabilities": ["chat", "vision"]},
    "embedder": {"capabilities": ["embeddings"]},
    "small": {},
}
RULES = [
    {"name": "images", "when": {"images": True}, "expert": "vision"},
    {"name": "json", "when": {"wants_json": True}, "expert": "extraction"},
    {"name": "code", "when": {"code": True}, "expert": "coder"},
    {
        "name": "translate",
        "when": {
            "contains": [r"^(please )?translate\b", r"\btranslation of\b", r"^how do you say\b"]
        },
        "expert": "translation",
    },
]
PICTURE = {"type": "image_url", "image_url": {"url": "x"}}
CODE = "```\nx = 1\n```"
EXAMPLES = [
    {"text": "Tell me a story about dragons", "expert": "general"},
    {"text": "Tell me a story about ships", "expert": "general"},
    {"text": "Write a python function", "expert": "coder"},
    {"text": "Debug my python script", "expert": "coder"},
]
NEAR = {"examples": EXAMPLES, "embedder": "embedder", "neighbours": {"k": 2}}
STORY, PYTHON, ODD = "A story about dragons", "A python function", "Qwx zzrp"


def settings_of(
    experts: dict[str, dict] | None = None, routing: dict | None = None, **more: object
) -> GatewaySettings:
    chosen = EXPERTS if experts is None else experts
    document = {
        "experts": {
            name: {"upstreams": [{"url": "http://127.0.0.1:1"}], **fields}
            for name, fields in chosen.items()
        },
        "routing": routing or {},
    }
    return GatewaySettings.model_validate(document | more)


def chat(*texts: str, **fields: object) -> dict:
    """A request whose turns are the user's and the assistant's in alternation."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return {"model": "auto", "messages": messages} | fields


def with_picture(*texts: str) -> dict:
    document = chat(*texts)
    document["messages"][-1]["content"] = [{"type": "text", "text": texts[-1]}, PICTURE]
    return document


def facts_of(document: object, **more: object) -> Facts:
    return read_facts(document, **({"endpoint": "/v1/chat/completions"} | more))


def folds(count: int = 4, seed: int = 7) -> list[tuple[list[Labelled], list[Labelled]]]:
    """Examples and held-out prompts, ``count`` times, so that each prompt is held out once. A
    prompt with a picture is no example, because an example cannot show one.
    """
    labelled = read_labelled(HERE / "labelled.yaml")
    shuffled = random.Random(seed).sample(labelled, len(labelled))
    ordered = sorted(shuffled, key=lambda one: one.expert)
    return [
        (
            [one for n, one in enumerate(ordered) if n % count != fold and not one.image],
            [one for n, one in enumerate(ordered) if n % count == fold],
        )
        for fold in range(count)
    ]
