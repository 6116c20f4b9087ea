"""The script that brings one model file onto a host."""

from typing import Final

from components.plan.spec import AppPlan, ModelPlan
from components.render.script import Script

_PRESENT: Final = """
[ -f "$file" ] || { echo "$name: $file is missing"; return 1; }
[ -z "$size" ] || [ "$(stat -c %s "$file")" = "$size" ] || { echo "$name: $file has the wrong size"; return 1; }
"""

# A hub that was just found unreachable is not asked again by every update; an hour later it is, and
# `hearth heal` asks at once by removing the mark.
_PROBE: Final = """
present && return 0
[ -n "$(find "$file.unavailable" -mmin -60 2>/dev/null)" ]
"""

# A missing rung must not stop the others: the reason is printed, remembered beside the file for
# `hearth status`, and the ladder goes one rung down.
_UNAVAILABLE: Final = """
printf '%s\\n' "$1" >"$file.unavailable"
echo "unavailable: $name: $1"
"""

_ENSURE: Final = """
mkdir -p "$(dirname "$file")"
exec 9>"$file.lock"
flock 9
if present >/dev/null; then
  rm -f "$file.unavailable"
  echo "present: $name"
  return 0
fi
local free; free=$(( $(stat -f -c '%a*%S' "$(dirname "$file")") / 1048576 ))
if [ "$free" -lt $(( ${size:-0} / 1048576 + 100 )) ]; then
  echo "$name needs $(( size / 1048576 )) MiB in $(dirname "$file") but only $free MiB are free"
  echo "fix: free space there, set data-dir of this host to a larger disk, or take the model out of the ladder"
  return 1
fi
[ -n "$url" ] || { echo "the stack file names no address for $name"; return 1; }
local got code=0 message
# Resumes a part of an earlier run; a server that cannot resume starts over.
message=$(curl -fsSL --retry 2 --connect-timeout 5 --speed-time 60 --speed-limit 1024 \\
  -C - -o "$file.part" "$url" 2>&1) || code=$?
if [ "$code" = 33 ] || [ "$code" = 36 ]; then
  rm -f "$file.part"
  code=0
  message=$(curl -fsSL --connect-timeout 5 -o "$file.part" "$url" 2>&1) || code=$?
fi
if [ "$code" != 0 ]; then
  [ "$code" != 22 ] || rm -f "$file.part"
  unavailable "download from $url failed: $(tail -n 1 <<<"${message:-curl exit $code}")"
  return 0
fi
got=$(stat -c %s "$file.part")
if [ -n "$size" ] && [ "$got" != "$size" ]; then
  # A shorter file is an interrupted download and is continued next time; a longer one is another file.
  [ "$got" -lt "$size" ] || rm -f "$file.part"
  unavailable "size is $got bytes, expected $size"
  return 0
fi
got=$(sha256sum "$file.part" | cut -d' ' -f1)
if [ -n "$sha256" ] && [ "$got" != "$sha256" ]; then
  rm -f "$file.part"
  unavailable "sha256 is $got, expected $sha256"
  return 0
fi
if [ "$(head -c 4 "$file.part")" != GGUF ]; then
  rm -f "$file.part"
  unavailable "the file is not a GGUF model"
  return 0
fi
printf '%s  %s\\n' "$got" "$(basename "$file")" >"$file.sha256"
mv "$file.part" "$file"
rm -f "$file.unavailable"
echo "downloaded: $name"
"""

_GENERATE: Final = """
present >/dev/null && { echo "present: $name"; return 0; }
mkdir -p "$(dirname "$file")"
PYTHONPATH="$pythonpath" "$python" -m expert_runner.selftest "$file.part" >/dev/null
mv "$file.part" "$file"
echo "generated: $name"
"""


def model_script(plan: ModelPlan, *, generator: AppPlan) -> Script:
    """Downloads ``plan.url`` with resume and checks, or generates the built-in model."""
    variables = {"name": plan.name, "file": str(plan.path), "size": str(plan.size or "")}
    if plan.url is None:
        return Script(
            variables={
                **variables,
                "python": str(generator.python),
                "pythonpath": str(generator.directory),
            },
            functions={"present": _PRESENT, "probe": "present", "ensure": _GENERATE},
        )
    return Script(
        variables={**variables, "url": plan.url, "sha256": plan.sha256 or ""},
        functions={
            "present": _PRESENT,
            "probe": _PROBE,
            "unavailable": _UNAVAILABLE,
            "ensure": _ENSURE,
        },
    )
