"""`hearth keys` against the gateway's own /admin on a real socket."""

import asyncio
import contextlib
import hashlib
import json
import threading
import time

import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response
from typer.testing import CliRunner

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.access.access import Access
from gateway.access.admin import Admin
from gateway.errors import GatewayError
from gateway.reply.dialects import error_body
from ops import keys
from ops.errors import OpsError, Unreachable

RUNNER = CliRunner(env={"COLUMNS": "160"})


class QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


class Gateway:
    """Its /admin, and a way to run `hearth keys` against it."""

    def __init__(self, folder):
        settings = GatewaySettings.model_validate(
            {
                "experts": {"general": {"upstreams": [{"url": "http://127.0.0.1:1"}]}},
                "data_dir": str(folder),
            }
        )
        self.access = Access(settings, GatewaySecrets())
        app = FastAPI()
        app.include_router(Admin(self.access, models=["general"], endpoints=["/v1/x"]).router())
        app.add_exception_handler(GatewayError, as_answer)
        self._server = QuietServer(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        self.options = ["--url", self.url, "--admin-key-file", str(folder / "admin.key")]

    def stop(self):
        self._server.should_exit = True
        self._thread.join()
        self.access.close()

    def run(self, *args, answer=None):
        """Standard output and error of a command that ends well."""
        done = RUNNER.invoke(keys.app, [*args, *self.options], input=answer)
        assert done.exception is None, done.exception
        return done.stdout, done.stderr

    def fail(self, *args):
        done = RUNNER.invoke(keys.app, [*args, *self.options])
        assert isinstance(done.exception, OpsError), done.output
        return str(done.exception)


async def as_answer(_: Request, error: Exception) -> Response:
    return Response(error_body(error), error.status, headers=error.headers())


@pytest.fixture
def gateway(tmp_path):
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.stop()


def test_a_made_key_is_alone_on_standard_output_and_opens(gateway):
    out, err = gateway.run(
        "create", "Ada", "--model", "general", "--rpm", "5", "--expires-in", "2h"
    )
    assert out.count("\n") == 1
    key = gateway.access.ring.find(out.strip().encode())
    assert (key.name, key.models, key.rpm) == ("Ada", {"general"}, 5)
    assert abs(key.expires_at - time.time() - 7200) < 60
    assert "not shown again" in err
    assert out.strip() not in err


def test_the_list_shows_limits_and_never_a_key(gateway):
    out, _ = gateway.run("create", "[red]Ada", "--tpm", "9000", "--budget", "2.5")
    listed, _ = gateway.run("list")
    for part in ("[red]Ada", "tpm 9000", "budget 2.5 (month)"):
        assert part in " ".join(listed.split())
    assert out.strip()[-20:] not in listed


def test_a_revoked_key_is_listed_only_when_asked_for(gateway):
    key_id = json.loads(gateway.run("create", "Ada", "--json")[0])["id"]
    assert "is revoked since" in gateway.run("revoke", key_id, "--yes")[0]
    assert json.loads(gateway.run("list", "--json")[0]) == []
    assert [key["id"] for key in json.loads(gateway.run("list", "--all", "--json")[0])] == [key_id]


def test_a_revocation_asks_first_and_no_means_no(gateway):
    made = json.loads(gateway.run("create", "Ada", "--json")[0])
    done = RUNNER.invoke(keys.app, ["revoke", made["id"], *gateway.options], input="n\n")
    assert done.exit_code != 0
    assert gateway.access.ring.find(made["key"].encode()).id == made["id"]
    assert f"revoke key {made['id']} of Ada?" in gateway.run("revoke", made["id"], answer="y\n")[0]


def test_an_update_changes_what_is_named_and_takes_limits_away(gateway):
    made = json.loads(gateway.run("create", "Ada", "--rpm", "5", "--tpm", "100", "--json")[0])
    said, _ = gateway.run("update", made["id"], "--rpm", "60", "--remove", "tpm")
    assert said == f"key {made['id']} of Ada: rpm 60\n"
    key = gateway.access.ring.find(made["key"].encode())
    assert (key.name, key.rpm, key.tpm) == ("Ada", 60, None)
    answer = json.loads(
        gateway.run("update", made["id"], "--name", "Grace", "--expires-in", "1h", "--json")[0]
    )
    assert (answer["name"], answer["rpm"]) == ("Grace", 60)
    assert answer["expires_at"] is not None
    gateway.run("update", made["id"], "--remove", "expires")
    assert json.loads(gateway.run("show", made["id"], "--json")[0])["expires_at"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "nothing to change"),
        (["--remove", "wings"], "--remove wings: there is no such limit"),
        (["--rpm", "5", "--remove", "rpm"], "--remove rpm: it is also given a value"),
        (["--expires-in", "1h", "--remove", "expires"], "it is also given a value"),
        (["--expires-in", "soon"], "'soon' is no time"),
        (["--rpm", "0"], "rpm: Input should be greater than 0"),
        (["--model", "nobody"], "nobody"),
    ],
)
def test_an_update_that_makes_no_sense_changes_nothing(gateway, options, words):
    made = json.loads(gateway.run("create", "Ada", "--tpm", "100", "--json")[0])
    before = gateway.run("show", made["id"])
    assert words in gateway.fail("update", made["id"], *options)
    assert gateway.run("show", made["id"]) == before


def test_a_rotated_key_is_printed_like_a_new_one(gateway):
    made = json.loads(gateway.run("create", "Ada", "--json")[0])
    out, err = gateway.run("rotate", made["id"], "--overlap", "10m")
    assert gateway.access.ring.find(out.strip().encode()).id == made["id"]
    assert out.strip() != made["key"]
    assert "the present key ends" in err


def test_show_tells_everything_but_the_key(gateway):
    made = json.loads(gateway.run("create", "Ada", "--priority", "high", "--json")[0])
    shown, _ = gateway.run("show", made["id"])
    assert "high" in shown
    assert made["key"] not in shown
    del made["key"]
    assert json.loads(gateway.run("show", made["id"], "--json")[0]) == made


@pytest.mark.parametrize("by", ["key", "model", "day"])
def test_usage_is_a_table_with_a_total(gateway, by):
    gateway.access.ledger.add("abcdefgh", "general", 1000, 0, 234, 1_500_000, False)
    shown, _ = gateway.run("usage", "--by", by)
    row, total = (" ".join(line.split()) for line in shown.splitlines()[1:3])
    assert row.endswith("1 1,000 0 234 1.50 0")
    assert total == "total 1 1,000 0 234 1.50 0"
    first = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
    filtered = json.loads(gateway.run("usage", "--from", first, "--to", first, "--json")[0])
    assert filtered["total"]["requests"] == 0


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["create", "Ada", "--model", "nothing"], "400: models: unknown: nothing; known: general."),
        (["create", "Ada", "--rpm", "-1"], "400: rpm: "),
        (["create", "Ada", "--rpm", "0"], "400: rpm: "),
        (["create", "Ada", "--priority", "urgent"], "400: priority: "),
        (["create", "Ada", "--expires-in", "soon"], "'soon' is no time; write a number and"),
        (["show", "nobody12"], "404: There is no key with this id."),
        (["rotate", "nobody12"], "404: There is no key with this id."),
        (["revoke", "nobody12"], "404: There is no key with this id."),
        (["usage", "--from", "monday"], "400: from: "),
        (["usage", "--by", "week"], "--by week: give key, model or day"),
    ],
)
def test_a_refusal_is_one_clear_line(gateway, args, reason):
    message = gateway.fail(*args)
    assert reason in message
    assert "\n" not in message


def test_a_client_key_in_the_file_is_not_taken_for_the_admin_key(gateway, tmp_path):
    key, _ = gateway.run("create", "Ada")
    file = tmp_path / "other"
    for text, reason in ((key, "403: A client key cannot"), ("hearth-admin-x", "--admin-key-file")):
        file.write_text(text)
        gateway.options = ["--url", gateway.url, "--admin-key-file", str(file)]
        message = gateway.fail("list")
        assert reason in message
        assert text.strip() not in message


def test_a_gateway_that_is_not_there_is_said(tmp_path):
    file = tmp_path / "admin.key"
    file.write_text("hearth-admin-x\n")
    options = ["--url", "http://127.0.0.1:9", "--admin-key-file", str(file)]
    done = RUNNER.invoke(keys.app, ["list", *options])
    assert isinstance(done.exception, Unreachable)
    assert "http://127.0.0.1:9 does not answer" in str(done.exception)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--url", "http://127.0.0.1:9"], "belong together"),
        (["--admin-key-file", "x"], "belong together"),
        (["--url", "http://x", "--admin-key-file", "/nowhere/admin.key"], "No such file"),
        (["--url", "http://x", "--admin-key-file", "/dev/null"], "holds no admin key"),
        (["--url", "http://x", "--admin-key-file", "/"], "Is a directory"),
    ],
)
def test_half_an_address_is_refused_with_the_other_half(options, reason):
    done = RUNNER.invoke(keys.app, ["list", *options])
    assert isinstance(done.exception, OpsError)
    assert reason in str(done.exception)


def test_only_a_digest_of_the_admin_key_is_in_memory(gateway, tmp_path):
    text = (tmp_path / "admin.key").read_text().strip()
    assert gateway.access.admin_digest == hashlib.sha256(text.encode()).digest()
