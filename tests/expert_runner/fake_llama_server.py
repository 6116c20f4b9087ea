"""Stands in for llama-server: the same flags and routes, and every misbehaviour on request.

``<model>.behaviour`` beside the model file is a JSON object, read anew for each request:
``exit`` (status) or ``signal`` (number) at start; ``loading_s`` before /health says 200, ``never``
for not at all; ``warning`` printed; ``no_token``; ``refuse`` (status of completions); ``busy``
(requests in flight in /metrics); ``frozen`` (no answer to anything); ``stuck`` (/metrics hangs).
"""

import argparse
import http.server
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

STARTED = time.monotonic()


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-m", dest="model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--alias", "--host", "--api-key-file"):
        parser.add_argument(name, required=True)
    for name in ("-c", "-np", "-t", "-b", "-ub", "--cache-ram", "-lm", "--cors-origins"):
        parser.add_argument(name, required=True)
    for name in ("--metrics", "--no-ui", "--offline"):
        parser.add_argument(name, action="store_true", required=True)
    return parser.parse_args()


def behaviour(model: Path) -> dict:
    try:
        return json.loads(Path(f"{model}.behaviour").read_text())
    except (OSError, ValueError):
        return {}


def main() -> None:
    options = flags()
    plan = behaviour(options.model)
    key = Path(options.api_key_file).read_text().strip()
    if "warning" in plan:
        print(plan["warning"], file=sys.stderr, flush=True)
    if "signal" in plan:
        os.kill(os.getpid(), plan["signal"])
    if "exit" in plan:
        sys.exit(plan["exit"])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            plan = behaviour(options.model)
            if plan.get("frozen"):
                time.sleep(3600)
            loading = plan.get("loading_s", 0)
            if loading == "never" or time.monotonic() - STARTED < loading:
                return self.answer(503, {"error": {"message": "Loading model"}})
            if self.path == "/health":
                return self.answer(200, {"status": "ok"})
            if self.headers["Authorization"] != f"Bearer {key}":
                return self.answer(401, {"error": {"message": "Invalid API Key"}})
            if self.path == "/v1/models":
                return self.answer(200, {"data": [{"id": options.alias}]})
            if plan.get("stuck"):
                time.sleep(3600)
            values = {
                "requests_processing": plan.get("busy", 0),
                "requests_deferred": 0,
                "n_decode_total": plan.get("decoded", 1),
            }
            self.text(200, "".join(f"llamacpp:{k} {v}\n" for k, v in values.items()).encode())

        def do_POST(self) -> None:
            plan = behaviour(options.model)
            self.rfile.read(int(self.headers["Content-Length"]))
            if "refuse" in plan:
                return self.answer(plan["refuse"], {"error": {"message": "cannot decode"}})
            time.sleep(plan.get("thinks_s", 0))
            tokens = 0 if plan.get("no_token") else 1
            self.answer(200, {"model": options.alias, "usage": {"completion_tokens": tokens}})

        def answer(self, status: int, document: dict) -> None:
            self.text(status, json.dumps(document).encode())

        def text(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((options.host, options.port), Handler)
    server.daemon_threads = False
    server.block_on_close = True
    asked = []

    def on_signal(*_: object) -> None:
        asked.append(1)
        if len(asked) > 1:
            os._exit(1)
        # Like the real one: listens no longer, and ends after the requests in flight.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, on_signal)
    server.serve_forever(0.02)
    server.server_close()


main()
