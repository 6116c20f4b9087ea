"""Makes hostile requests from a seed: the same seed makes the same ones."""

import json
import random
from collections.abc import Callable
from typing import Any, Final

ENDPOINTS: Final = (
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"),
    *("/v1/messages/count_tokens", "/v1/embeddings", "/v1/rerank", "/v1/audio/speech"),
    "/v1/audio/transcriptions",
)
OTHERS: Final = (
    *("/", "/health", "/v1/models", "/v1/models/general", "/v1/route/explain", "/status.json"),
    *("/admin/keys", "/admin/usage", "/admin/keys/abcdefgh", "/admin/keys/abcdefgh/rotate"),
)
FIELDS: Final = (
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
    *("max_output_tokens", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p"),
    *("n", "stop", "seed", "logprobs", "top_logprobs", "logit_bias", "response_format", "user"),
    *("presence_penalty", "frequency_penalty", "reasoning_effort", "metadata", "store", "input"),
    *("encoding_format", "dimensions", "prompt", "suffix", "echo", "best_of", "system"),
    *("instructions", "previous_response_id", "text", "reasoning", "thinking", "stop_sequences"),
    *("query", "documents", "top_n", "voice", "file", "language", "grammar", "json_schema"),
    *("functions", "function_call", "samplers", "n_predict", "cache_prompt", "id_slot", "top_k"),
    *("min_p", "chat_template_kwargs", "modalities", "audio", "timings_per_token", "ignore_eos"),
    *("add_generation_prompt", "return_tokens", "lora", "n_probs", "mirostat", "service_tier"),
)
_NUMBERS: Final = (
    *("0", "-1", "1e999", "-1e999", "1e-999", "2147483648", "9223372036854775808", "-0.0"),
    *("18446744073709551616", "1" * 400, "0." + "1" * 400, "1E400", "4294967296", "0.1e+5"),
)
_NO_JSON: Final = (
    *("NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x10", "'a'", "tru", "nul", ""),
    *('"\t"', '"\\x"', '"\\ud800', "{,}", "[1,]", '{"a":1,}', "{a:1}", "/**/1", "1 2", "\x00"),
)
_TEXTS: Final = (
    *("", "x", "\x00", "\ufeff", "\u202e", "\u2028", "😀" * 50, "%s%n{}{{7*7}}", "<script>"),
    *("../../etc/passwd", "' or 1=1 --", "\r\nx-injected: 1", "auto", "general", "x" * 5000),
)
_ESCAPES: Final = (r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', r'"\ud83d\ude00"', r'"\/\b\f"')
_MESSAGE: Final = (
    *("role", "content", "name", "tool_calls", "tool_call_id", "type", "text", "image_url"),
    *("url", "id", "function", "arguments", "input", "source", "reasoning_content", "refusal"),
)
_HEADERS: Final = (
    *("x-request-id", "traceparent", "x-session-id", "content-type", "accept-encoding", "expect"),
    *("x-forwarded-for", "x-conversation-id", "connection", "upgrade", "range", "cookie", "te"),
    *("x-hearth-expert", "x-hearth-model", "host", "content-encoding", "accept", "keep-alive"),
    *("x-http-method-override", "proxy-authorization", "transfer-encoding", "content-length"),
)
_VALUES: Final = (
    *(b"", b" ", b"\xff\xfe", b"a" * 3000, b"\x00", b"a\rb", b"a\n b: c", b"100-continue", b"-1"),
    *(b"chunked", b"gzip", b"close", b"keep-alive, upgrade", b"h2c", b"websocket", b"0", b"1, 1"),
    *(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"multipart/form-data", b"x\x7fy", b"\xe2"),
    *(b"application/json; charset=utf-16", b"%0d%0aset-cookie: a=b", b"99999999999999999999"),
)
_METHODS: Final = (
    *(b"GET", b"HEAD", b"OPTIONS", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"PROPFIND", b"post"),
    *(b"PRI", b"M-SEARCH", b"", b"GET GET", b"POST\x00", b"QUERY"),
)
_TARGETS: Final = (
    *(b"//", b"/../admin/keys", b"/v1/../admin/keys", b"/v1//chat/completions", b"/%2e%2e/admin"),
    *(b"/v1/chat/completions/", b"/V1/CHAT/COMPLETIONS", b"/v1/chat%2fcompletions", b"/\x00", b"*"),
    *(b"/v1/chat/completions?x=%00&y=\xff", b"/v1/chat/completions#f", b"/v1/models/%00", b"/%"),
    *(b"/v1/models/../../admin/keys", b"/admin//keys", b"/admin/keys/%0a%0d", b"/;/admin/keys"),
    *(b"/v1/models/" + b"a" * 4000, b"/?" + b"a=b&" * 900, b"/admin/usage?from=9999-99-99"),
    *(b"/v1/chat/completions\\", b"/%ff%fe", b"/.well-known/x", b"/status", b"x", b"/openapi.json"),
    *(b"/admin/usage?key=%00&model=%ff", b"/admin/keys?limit=1e9", b"/docs", b"/metrics/../admin"),
    *(b"/v1/route/explain?endpoint=%00", b"/v1/route/explain?endpoint=/v1/embeddings&endpoint="),
)


def value(chance: random.Random, depth: int = 0) -> str:
    """The text of a JSON value, as a rule a valid one."""
    kind = chance.randrange(12 if depth < 4 else 8)
    if kind == 0:
        return chance.choice(_NUMBERS)
    if kind == 1:
        return json.dumps(chance.choice(_TEXTS), ensure_ascii=chance.random() < 0.5)
    if kind == 2:
        return chance.choice(_ESCAPES)
    if kind == 3:
        return chance.choice(("true", "false", "null", "[]", "{}", "[[]]", '""'))
    if kind == 4:
        return str(chance.randint(-9, 9) / chance.choice((1, 3, 7)))
    if kind == 5:
        return json.dumps(chance.choice((*FIELDS, *_MESSAGE)))
    if kind == 6 and chance.random() < 0.2:
        depth = chance.choice((20, 300, 1200, 20_000))
        opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
        return opening * depth + "1" + closing * depth
    if kind == 7 and chance.random() < 0.15:
        return chance.choice(_NO_JSON)
    if kind <= 9:
        return f"[{','.join(value(chance, depth + 1) for _ in range(chance.randrange(4)))}]"
    names = (*_MESSAGE, *FIELDS) if chance.random() < 0.8 else _TEXTS
    pairs = (
        f"{json.dumps(chance.choice(names))}:{value(chance, depth + 1)}"
        for _ in range(chance.randrange(5))
    )
    return f"{{{','.join(pairs)}}}"


def sound_body(path: str, model: str, marker: str) -> dict[str, Any]:
    """A body that the path takes."""
    message = [{"role": "user", "content": marker}]
    return {"model": model} | {
        "/v1/completions": {"prompt": marker, "max_tokens": 4},
        "/v1/responses": {"input": marker, "max_output_tokens": 4},
        "/v1/embeddings": {"input": marker},
        "/v1/rerank": {"query": marker, "documents": ["a", "b"]},
        "/v1/audio/speech": {"input": marker, "voice": "a"},
    }.get(path, {"messages": message, "max_tokens": 4})


def body(chance: random.Random, path: str, model: str, marker: str) -> bytes:
    """A body with some fields of any type, seldom no JSON at all."""
    texts = {name: json.dumps(one) for name, one in sound_body(path, model, marker).items()}
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        name = chance.choice((*FIELDS, *texts))
        if name != "model" or chance.random() < 0.2:
            texts[name] = value(chance)
    pairs = [f'"{name}":{text}' for name, text in texts.items()]
    if chance.random() < 0.1:
        pairs.append(chance.choice(pairs))
    chance.shuffle(pairs)
    content = f"{{{','.join(pairs)}}}".encode("utf-8", "surrogatepass")
    return mutated(chance, content) if chance.random() < 0.1 else content


def form(chance: random.Random, marker: str) -> tuple[bytes, bytes]:
    """A multipart form, more or less, and its content type."""
    boundary = chance.choice((b"b", b"-" * 70, b"a b", b'"', b"\xff", b"", b"x" * 300))
    parts = []
    for _ in range(chance.randrange(4)):
        name = chance.choice((b"model", b"file", b"stream", b"", b'a"b', b"\xff\x00", b"n" * 2000))
        text = chance.choice((b"general", b"embed", marker.encode(), b"\r\n--b", b"\x00" * 50))
        more = chance.choice((b"", b'; filename="a.wav"', b"; filename*=UTF-8''%ff", b"; name=x"))
        parts.append(
            b"--%b\r\ncontent-disposition: form-data; name=%b%b\r\n\r\n%b\r\n"
            % (boundary, name, more, text)
        )
    content = b"".join(parts) + chance.choice((b"--%b--\r\n" % boundary, b"", b"--"))
    kind = b"multipart/form-data; boundary=" + boundary
    if chance.random() < 0.2:
        kind = chance.choice(
            (b"multipart/form-data", b"application/json", b"multipart/mixed", b";")
        )
    return (mutated(chance, content) if chance.random() < 0.4 else content), kind


def request(
    method: bytes, target: bytes, lines: list[bytes], content: bytes, *, framing: bytes = b""
) -> bytes:
    """The bytes of a request."""
    framing = framing or b"content-length: %d" % len(content)
    return b"\r\n".join((b"%b %b HTTP/1.1" % (method, target), *lines, framing, b"", content))


def chunked(chance: random.Random, content: bytes) -> bytes:
    """A body in chunks, now and then with something wrong."""
    cut = chance.randrange(len(content) + 1)
    pieces = [one for one in (content[:cut], content[cut:]) if one]
    extension = chance.choice((b"", b"", b";a=b", b";" + b"x" * 500, b"\t", b" "))
    made = b"".join(b"%x%b\r\n%b\r\n" % (len(one), extension, one) for one in pieces)
    end = chance.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"00\r\n\r\n", b"-1\r\n", b"")
    )
    return made + end


def header_lines(chance: random.Random) -> list[bytes]:
    """Some header lines that nobody should send."""
    return [
        chance.choice(_HEADERS).encode()
        + chance.choice((b": ", b": ", b":", b" : ", b"\x00: "))
        + chance.choice(_VALUES)
        for _ in range(chance.choice((1, 1, 2, 40)))
    ]


def mutated(chance: random.Random, content: bytes) -> bytes:
    """The same bytes with a few changes."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        if not made:
            break
        at = chance.randrange(len(made))
        way = chance.randrange(6)
        if way == 0:
            made[at] = chance.randrange(256)
        elif way == 1:
            del made[at : at + chance.choice((1, 2, 30))]
        elif way == 2:
            made[at:at] = chance.choice(
                (b"\r\n", b"\x00", b"\xff", b'"', b"{", b"\n\n", b"A" * 999)
            )
        elif way == 3:
            made[at:at] = made[at : at + 40]
        elif way == 4:
            del made[at:]
        else:
            made[at] ^= 1 << chance.randrange(8)
    return bytes(made)


Attack = Callable[[random.Random, bytes, str], list[bytes]]


def wrong_fields(chance: random.Random, key: bytes, marker: str) -> list[bytes]:
    """A sound head; a body whose fields are of any type."""
    path = chance.choice((*ENDPOINTS, "/v1/route/explain"))
    model = "auto" if chance.random() < 0.2 else "embed" if "mbed" in path else "general"
    content, kind = body(chance, path, model, marker), b"application/json"
    if path.endswith("transcriptions"):
        content, kind = form(chance, marker)
    lines = [b"host: x", b"authorization: Bearer " + key, b"content-type: " + kind]
    return [request(b"POST", path.encode(), lines, content)]


def odd_heads(chance: random.Random, key: bytes, marker: str) -> list[bytes]:
    """A sound body behind an odd method, target, header or framing."""
    path = chance.choice((*ENDPOINTS, *OTHERS))
    method, target = b"POST", path.encode()
    content = json.dumps(sound_body(path, "general", marker)).encode()
    lines, framing = [b"host: x", b"authorization: Bearer " + key], b""
    way = chance.randrange(5)
    if way == 0:
        method = chance.choice(_METHODS)
    elif way == 1:
        method, target = chance.choice((b"GET", b"POST")), chance.choice(_TARGETS)
    elif way == 2:
        lines += header_lines(chance)
    elif way == 3:
        framing, content = b"transfer-encoding: chunked", chunked(chance, content)
    else:
        lines[1] = b"authorization: " + chance.choice((b"", b"Bearer", b"Basic YQ==", *_VALUES))
    if not content and method == b"":
        return [b"\r\n"]
    return [request(method, target, lines, content, framing=framing)]


def broken_http(chance: random.Random, key: bytes, marker: str) -> list[bytes]:
    """Bytes that were a request once, in one piece or in several."""
    sound = (wrong_fields if chance.random() < 0.3 else odd_heads)(chance, key, marker)[0]
    made = mutated(chance, sound)
    if chance.random() < 0.15:
        made += chance.choice(
            (made, b"\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00")
        )
    if chance.random() < 0.1 and len(made) > 2:
        cut = chance.randrange(1, len(made))
        return [made[:cut], made[cut:]]
    return [made]


def administration(chance: random.Random, key: bytes, marker: str) -> list[bytes]:
    """The paths of administrators with documents of any kind; ``key`` may be theirs."""
    names = (
        *("name", "models", "endpoints", "rpm", "tpm", "concurrency", "daily_tokens", "budget"),
        *("budget_period", "priority", "expires_in_s", "expires_at", "metadata", "overlap_s", "id"),
    )
    method, path = chance.choice(
        (
            *((b"POST", b"/admin/keys"), (b"PATCH", b"/admin/keys/abcdefgh")),
            *((b"POST", b"/admin/keys/abcdefgh/rotate"), (b"DELETE", b"/admin/keys/abcdefgh")),
            *((b"GET", b"/admin/keys/%00"), (b"GET", b"/admin/keys")),
            (b"GET", b"/admin/usage?key=" + str(chance.random()).encode()),
        )
    )
    pairs = {name: value(chance) for name in chance.sample(names, chance.randrange(1, 5))}
    content = ",".join(f'"{name}":{text}' for name, text in pairs.items())
    content_bytes = f"{{{content}}}".encode("utf-8", "surrogatepass")
    lines = [b"host: x", b"authorization: Bearer " + key]
    return [request(method, path, lines, content_bytes)]


ATTACKS: Final[tuple[Attack, ...]] = (wrong_fields, odd_heads, broken_http)
