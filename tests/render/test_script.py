"""Scripts: quoting holds, and the chosen function runs with stdin closed."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from components.render.script import Script, quoted

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def run(script: Script, function: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-s", function],
        input=script.text().encode(),
        capture_output=True,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )


@settings(max_examples=40, deadline=None)
@given(words)
def test_a_value_reaches_the_shell_unchanged_whatever_it_holds(value: str) -> None:
    script = Script(variables={"value": value}, functions={"show": 'printf %s "$value"'})
    assert run(script, "show").stdout == value.encode()


@settings(max_examples=20, deadline=None)
@given(st.lists(words, max_size=4))
def test_quoted_words_keep_their_number_and_content(many: list[str]) -> None:
    body = f'local all=({quoted(tuple(many))})\nprintf "%s\\0" "${{#all[@]}}" "${{all[@]}}"'
    done = run(Script(variables={}, functions={"show": body}), "show").stdout
    # printf prints one empty field when there is nothing to print.
    fields = done.split(b"\0")[:-1]
    assert int(fields[0]) == len(many)
    assert fields[1:] == ([word.encode() for word in many] or fields[1:])


def test_only_the_chosen_function_runs_and_it_cannot_eat_the_script() -> None:
    script = Script(variables={}, functions={"one": "cat; echo one", "two": "echo two"})
    assert run(script, "one").stdout == b"one\n"
    assert run(script, "two").stdout == b"two\n"


def test_a_failing_line_stops_the_function() -> None:
    script = Script(variables={}, functions={"ensure": "false\necho reached"})
    done = run(script, "ensure")
    assert done.returncode != 0
    assert done.stdout == b""
