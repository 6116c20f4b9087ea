"""`hearth keys`: the API keys of a gateway and what was used with them. Thin; every verb is one
request to /admin, and the gateway decides.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ops import key_output as output
from ops import key_terms as terms
from ops.admin_api import AdminApi, read_admin_key
from ops.errors import OpsError
from ops.target import StackName, find_stack

app = typer.Typer(help="API keys: who may ask, how much, and what was used.", no_args_is_help=True)

Url = Annotated[
    str | None,
    typer.Option("--url", help="A gateway that no stack runs, e.g. http://127.0.0.1:8000."),
]
AdminKeyFile = Annotated[
    Path | None,
    typer.Option("--admin-key-file", help="With --url: the file admin.key in its data_dir."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the gateway's answer as it is.")]
KeyId = Annotated[str, typer.Argument(help="Id of the key, as in `hearth keys list`.")]


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose key it is, or what for.")],
    model: terms.Models = None,
    endpoint: terms.Endpoints = None,
    rpm: terms.Rpm = None,
    tpm: terms.Tpm = None,
    concurrency: terms.Concurrency = None,
    daily_tokens: terms.DailyTokens = None,
    budget: terms.Budget = None,
    budget_period: terms.BudgetPeriod = None,
    priority: terms.Priority = None,
    expires_in: terms.ExpiresIn = None,
    stack: StackName = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed once, alone on the last line, and can never be shown again."""
    fields = terms.given(context.params)
    with _admin(stack, url, admin_key_file) as admin:
        made = admin.create(fields)
    output.show_once(made, as_json, f"key {made['id']} for {made['name']} made; keep it, it is not")


@app.command()
def update(
    context: typer.Context,
    key_id: KeyId,
    name: Annotated[str | None, typer.Option("--name", help="Whose key it is.")] = None,
    model: terms.Models = None,
    endpoint: terms.Endpoints = None,
    rpm: terms.Rpm = None,
    tpm: terms.Tpm = None,
    concurrency: terms.Concurrency = None,
    daily_tokens: terms.DailyTokens = None,
    budget: terms.Budget = None,
    budget_period: terms.BudgetPeriod = None,
    priority: terms.Priority = None,
    expires_in: terms.ExpiresIn = None,
    remove: terms.Removed = None,
    stack: StackName = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    as_json: Json = False,
) -> None:
    """Change what a key may do; what is not named stays. The key itself stays the same."""
    fields = terms.given(context.params)
    fields |= terms.removed(remove or [], fields)
    if not fields:
        msg = "nothing to change; name a field, e.g. --rpm 60 or --remove tpm"
        raise OpsError(msg)
    with _admin(stack, url, admin_key_file) as admin:
        key = admin.update(key_id, fields)
    if as_json:
        output.say_json(key)
    else:
        output.say(f"key {key['id']} of {key['name']}: {output.limits(key) or 'no limits'}")


@app.command(name="list")
def list_command(
    every: Annotated[bool, typer.Option("--all", "-a", help="Revoked ones too.")] = False,
    stack: StackName = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    as_json: Json = False,
) -> None:
    """Show the keys and their limits."""
    with _admin(stack, url, admin_key_file) as admin:
        keys = [key for key in admin.all() if every or not key["revoked_at"]]
    if as_json:
        output.say_json(keys)
        return
    output.list_keys(keys)


@app.command()
def show(
    key_id: KeyId,
    stack: StackName = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    as_json: Json = False,
) -> None:
    """Show everything about a key but the key."""
    with _admin(stack, url, admin_key_file) as admin:
        key = admin.key(key_id)
    if as_json:
        output.say_json(key)
        return
    output.show_key(key)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        str | None,
        typer.Option("--overlap", help="How long the present key stays valid; default: 1d."),
    ] = None,
    stack: StackName = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    as_json: Json = False,
) -> None:
    """Give a key another text; limits and usage stay. Printed as by `create`."""
    overlap_s = None if overlap is None else terms.seconds(overlap)
    with _admin(stack, url, admin_key_file) as admin:
        made = admin.rotate(key_id, overlap_s)
    ends = made["secrets"][0]["expires_at"]
    output.show_once(made, as_json, f"the present key ends {ends}; keep the new one, it is not")


@app.command()
def revoke(
    key_id: KeyId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    stack: StackName = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    as_json: Json = False,
) -> None:
    """End a key at once and for good. What was used with it stays on record."""
    with _admin(stack, url, admin_key_file) as admin:
        if not yes:
            typer.confirm(f"revoke key {key_id} of {admin.key(key_id)['name']}?", abort=True)
        key = admin.revoke(key_id)
    if as_json:
        output.say_json(key)
    else:
        output.say(f"key {key['id']} of {key['name']} is revoked since {key['revoked_at']}")


@app.command()
def usage(
    key: Annotated[str | None, typer.Option("--key", help="Id of one key.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="One model.")] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First day, e.g. 2025-01-31; default: 30 days.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; default: today.")] = None,
    by: Annotated[str, typer.Option("--by", help="key, model or day.")] = "key",
    stack: StackName = None,
    url: Url = None,
    admin_key_file: AdminKeyFile = None,
    as_json: Json = False,
) -> None:
    """Show requests, tokens and cost."""
    if by not in ("key", "model", "day"):
        msg = f"--by {by}: give key, model or day"
        raise OpsError(msg)
    wanted = {"key": key, "model": model, "from": first, "to": last}
    with _admin(stack, url, admin_key_file) as admin:
        answer = admin.usage({name: value for name, value in wanted.items() if value})
    if as_json:
        output.say_json(answer)
        return
    output.show_usage(answer, by)


@contextlib.contextmanager
def _admin(stack: str | None, url: str | None, admin_key_file: Path | None) -> Iterator[AdminApi]:
    """The gateway meant by the options."""
    if url is not None and admin_key_file is not None:
        admin = AdminApi(url, read_admin_key(admin_key_file))
    elif url is None and admin_key_file is None:
        target = find_stack(stack)
        outputs = target.outputs()
        if "gateway-admin-key" not in outputs:
            msg = f"stack {target.name} has no admin key yet; run: hearth up --stack {target.name}"
            raise OpsError(msg)
        admin = AdminApi(outputs["gateway-url"], outputs["gateway-admin-key"])
    else:
        msg = "--url and --admin-key-file belong together: the address and its credential"
        raise OpsError(msg)
    try:
        yield admin
    finally:
        admin.close()
