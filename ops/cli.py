"""The hearth command: what Pulumi itself does not do. Thin; every verb is a call into ops.stack."""

import shlex
import signal
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from ops import doctor, keys
from ops.errors import INTERRUPTED, PIPE_CLOSED, OpsError, Unreachable
from ops.lock import exclusive
from ops.nomad_api import NomadApi
from ops.screen import Screen
from ops.stack import SERVING_TIMEOUT_S, Stack
from ops.target import StackName, find_stack

app = typer.Typer(
    help="A private AI cloud from ordinary machines. Plain `pulumi preview|up` work too.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(keys.app, name="keys")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_QUESTION = "Say hello in one sentence."


def _screen() -> Screen:
    return Screen(Console(), Console(stderr=True))


@app.command()
def up(
    stack: StackName = None,
    yes: Yes = False,
    first_run: Annotated[
        bool, typer.Option("--first-run", help="Apply without asking and end with an answer.")
    ] = False,
    run_local: Annotated[
        bool, typer.Option("--run-local", help="Set apps.driver to raw_exec in the stack file.")
    ] = False,
) -> None:
    """Look, preview, apply: brings the stack to what its YAML says, also after a reboot."""
    screen, target = _screen(), find_stack(stack)
    started = time.monotonic()
    with exclusive(target.checkout.home / "hearth.lock"):
        target.prepare()
        target.engine.select()
        if run_local:
            target.set_driver("raw_exec")
        _repair(screen, target)
        planned = target.preview()
        screen.changes(planned)
        if planned:
            if not (yes or first_run):
                typer.confirm("apply?", abort=True)
            target.engine.update()
    _report(screen, target)
    if first_run:
        _first_answer(screen, target)
    screen.say(f"done in {time.monotonic() - started:.0f} s")


@app.command()
def preview(stack: StackName = None) -> None:
    """Show what `up` would change. Changes nothing."""
    screen, target = _screen(), find_stack(stack)
    target.prepare()
    screen.changes(target.preview())


@app.command()
def down(stack: StackName = None, yes: Yes = False) -> None:
    """Stop everything the stack runs on its machines; models and builds stay for the next time."""
    screen, target = _screen(), find_stack(stack)
    if not yes:
        typer.confirm(f"stop and remove everything of stack {target.name}?", abort=True)
    with exclusive(target.checkout.home / "hearth.lock"):
        target.prepare()
        # Jobs can only be taken off a cluster that answers.
        if unreachable := target.cluster_findings():
            target.repair(unreachable)
        target.engine.destroy()
    screen.say(f"stack {target.name} is down")


@app.command()
def heal(stack: StackName = None) -> None:
    """Bring back what died: agent, jobs, files. Keys and state stay."""
    screen, target = _screen(), find_stack(stack)
    with exclusive(target.checkout.home / "hearth.lock"):
        target.prepare()
        target.outputs()
        target.forget_unavailable()
        healed = _repair(screen, target)
        if stopped := target.stopped_jobs():
            screen.say(f"not running: {', '.join(stopped)}")
            target.engine.update("--refresh")
            healed = True
    if not healed:
        screen.say("nothing was off")
    _report(screen, target)


@app.command()
def status(stack: StackName = None) -> None:
    """Experts, the model each serves, and what is wrong."""
    screen, target = _screen(), find_stack(stack)
    outputs = target.outputs()
    screen.say(f"gateway  {outputs['gateway-url']}")
    screen.say(f"nomad    {outputs['nomad-address']}")
    endpoint = target.endpoint(outputs)
    try:
        screen.experts(endpoint.models())
    finally:
        endpoint.close()
    screen.unavailable(target.unavailable_models())


@app.command()
def env(stack: StackName = None) -> None:
    """Print exports for a shell: eval "$(hearth env)"."""
    target = find_stack(stack)
    outputs = target.outputs()
    variables = {
        "OPENAI_BASE_URL": outputs["gateway-url"],
        "OPENAI_API_KEY": outputs["gateway-key"],
        "PATH": target.checkout.path(),
        **target.checkout.environment(),
    }
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command()
def chat(
    message: Annotated[list[str] | None, typer.Argument(help="Default: read lines.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Expert or alias.")] = "auto",
    stack: StackName = None,
) -> None:
    """Ask the endpoint something."""
    screen, target = _screen(), find_stack(stack)
    endpoint = target.endpoint(target.outputs())
    try:
        questions = [" ".join(message)] if message else (line.strip() for line in sys.stdin)
        for question in questions:
            for piece in endpoint.chat_pieces(model, question):
                screen.piece(piece)
            screen.say()
    finally:
        endpoint.close()


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="gateway, or the name of an expert.")] = "gateway",
    kib: Annotated[int, typer.Option("--kib", min=1, help="How much of the end.")] = 16,
    stack: StackName = None,
) -> None:
    """Print the end of a service's log."""
    screen, target = _screen(), find_stack(stack)
    outputs = target.outputs()
    job = f"expert-{service}" if service in outputs["experts"] else service
    nomad = NomadApi(outputs["nomad-address"], outputs["nomad-token"])
    try:
        allocation = nomad.allocation(job)
        if allocation is None:
            known = ", ".join(["gateway", *outputs["experts"]])
            msg = f"there is no service {service!r}; services: {known}"
            raise OpsError(msg)
        for stream in ("stdout", "stderr"):
            screen.piece(nomad.log(allocation, stream, kib * 1024))
    finally:
        nomad.close()


@app.command(name="doctor")
def doctor_command(
    write: Annotated[
        bool, typer.Option("--write", help="Print the hardware stanza of this machine.")
    ] = False,
    stack: StackName = None,
) -> None:
    """Check toolchain, stack file and this machine. Changes nothing."""
    screen = _screen()
    if write:
        screen.say(doctor.hardware_stanza())
        return
    problems = 0
    for examination in doctor.examine(find_stack(stack)):
        screen.say(f"{'ok  ' if examination.ok else 'FAIL'}  {examination.subject}")
        if not examination.ok:
            problems += 1
            screen.say(f"      {examination.finding}")
    if problems:
        msg = f"{problems} problem(s)"
        raise OpsError(msg)


def _repair(screen: Screen, target: Stack) -> bool:
    findings = target.findings()
    if not findings:
        return False
    screen.say("not as it should be:")
    screen.findings(findings)
    target.repair(findings)
    return True


def _report(screen: Screen, target: Stack) -> None:
    """Where the endpoint is, and what is not as wished."""
    outputs = target.outputs()
    endpoint = target.endpoint(outputs)
    try:
        missing = endpoint.wait_until_serving(outputs["experts"], SERVING_TIMEOUT_S)
        screen.experts(endpoint.models())
    finally:
        endpoint.close()
    screen.unavailable(target.unavailable_models())
    if missing:
        msg = f"no replica of {', '.join(missing)} answers; see: hearth logs {missing[0]}"
        raise Unreachable(msg)


def _first_answer(screen: Screen, target: Stack) -> None:
    outputs = target.outputs()
    endpoint = target.endpoint(outputs)
    try:
        answer = endpoint.chat(outputs["experts"][0], _QUESTION)
    finally:
        endpoint.close()
    screen.say()
    screen.say(f"you:    {_QUESTION}")
    screen.say(f"{answer.model}: {answer.text}")
    if answer.degraded:
        screen.warn(f"this answer came from {answer.degraded}, a fallback; the reasons stand above")
    screen.say()
    screen.say(f"endpoint  {outputs['gateway-url']}")
    screen.say(f"key       {outputs['gateway-key']}")
    screen.say()
    screen.say("next:")
    screen.say(
        '  eval "$(.venv/bin/hearth env)"   # OPENAI_BASE_URL, OPENAI_API_KEY, pulumi on PATH'
    )
    screen.say("  hearth chat 'What can you do?'   # ask from the shell")
    screen.say("  hearth status                    # experts, and which model each serves")


def main() -> None:
    """Entry point: errors are messages, never tracebacks."""
    code = _run(_screen())
    # What is left is the interpreter's own end, where an interrupt could only make a mess.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(code)


def _run(screen: Screen) -> int:
    try:
        code = int(app(standalone_mode=False) or 0)
    except OpsError as error:
        screen.fail(str(error))
        return error.exit_code
    except TyperException as error:
        screen.fail(f"{error.format_message()} (hearth --help shows what there is)")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    if code == INTERRUPTED:
        screen.fail("interrupted; run the same command to continue")
    return code
