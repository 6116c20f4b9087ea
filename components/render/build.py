"""The script that builds llama.cpp for one CPU class."""

from typing import Final

from components.plan.spec import AppPlan, BuildPlan
from components.render.script import Script, quoted

_PROBE: Final = """
[ -x "$out/bin/llama-server" ] || { echo "llama-server is not built"; return 1; }
(cd "$out/bin" && sha256sum --status -c ../SHA256SUMS) || { echo "files in $out were changed"; return 1; }
"""

_ENSURE: Final = """
probe >/dev/null 2>&1 && { echo "llama.cpp is built: $out"; return 0; }
mkdir -p "$out"
# One build at a time per artefact: another checkout of this user may want the same one.
exec 9>"$out/.lock"
flock 9
probe >/dev/null 2>&1 && { echo "llama.cpp is built: $out"; return 0; }
[ -f "$source/CMakeLists.txt" ] || { echo "the llama.cpp source is missing at $source; run: python -m toolchain"; return 1; }
for tool in cmake ninja c++; do
  command -v "$tool" >/dev/null || { echo "$tool is missing; run ./bootstrap.sh, which installs it"; return 1; }
done
local log="$out/build.log"
echo "building llama.cpp for $cpu_class, log: $log"
run_logged cmake -S "$source" -B "$out/work" -G Ninja "${cmake_args[@]}"
build
smoke_test "$out/work/bin"
rm -rf "$out/bin.new"
mkdir "$out/bin.new"
cp -a "$out"/work/bin/llama-server "$out"/work/bin/ggml-rpc-server "$out"/work/bin/*.so* "$out/bin.new/"
strip --strip-unneeded "$out"/bin.new/llama-server "$out"/bin.new/ggml-rpc-server "$out"/bin.new/*.so* 2>/dev/null || true
(cd "$out/bin.new" && sha256sum -- * >../SHA256SUMS)
rm -rf "$out/bin"
mv "$out/bin.new" "$out/bin"
rm -rf "$out/work"
echo "llama.cpp is built: $out"
"""

_RUN_LOGGED: Final = """
"$@" >>"$log" 2>&1 && return 0
echo "failed: $1; last lines of $log:"
tail -n 20 "$log" | cut -c1-400
return 1
"""

# ninja's own progress lines, thinned: a line per twentieth of the work.
_BUILD: Final = """
local last=-1 line done_ total
NINJA_STATUS='[%f/%t] ' cmake --build "$out/work" -j "$jobs" --target llama-server ggml-rpc-server 2>&1 |
  tee -a "$log" | while IFS= read -r line; do
    [[ $line =~ ^\\[([0-9]+)/([0-9]+)\\] ]] || continue
    done_=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
    if (( done_ * 20 / total > last )); then
      last=$(( done_ * 20 / total ))
      echo "compiling llama.cpp: $(( done_ * 100 / total ))% ($done_ of $total)"
    fi
  done || { echo "the compiler failed; last lines of $log:"; tail -n 20 "$log" | cut -c1-400; return 1; }
"""

# A build can succeed and still die of an illegal instruction on the first quantised product, so
# both families of kernels answer one real request before the artefact counts.
_SMOKE_TEST: Final = """
local bin=$1 quant socket model pid ok code
socket=$(mktemp -u "${TMPDIR:-/tmp}/hearth-XXXXXX.sock")
for quant in q8_0 q4_0; do
  model="$out/smoke-$quant.gguf"
  PYTHONPATH="$pythonpath" "$python" -m expert_runner.selftest --quant "$quant" "$model" >>"$log" 2>&1
  "$bin/llama-server" -m "$model" --host "$socket" -c 256 -np 1 -t 1 --cache-ram 0 --offline --no-ui >>"$log" 2>&1 &
  pid=$! ok=""
  for _ in $(seq 150); do
    if curl -fsS --max-time 10 --unix-socket "$socket" -H 'content-type: application/json' \\
        -d '{"prompt": "hello", "n_predict": 4}' http://localhost/completion >/dev/null 2>>"$log"; then ok=yes; break; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  kill -TERM "$pid" 2>/dev/null || true
  code=0; wait "$pid" || code=$?
  rm -f "$socket" "$model"
  if [ -z "$ok" ]; then
    [ "$code" != 132 ] || echo "illegal instruction: this CPU lacks something of class $cpu_class; set hardware.cpu-class of host $host to a lower class"
    echo "smoke test with a $quant model failed, exit $code; see $log"
    return 1
  fi
done
echo "smoke test passed: q8_0 and q4_0 models answer"
"""


def build_script(plan: BuildPlan, *, generator: AppPlan) -> Script:
    """Builds into ``plan.directory``; leaves a relocatable ``bin`` with its checksums.

    ``generator`` is the expert runner, whose generated models are the smoke test.
    """
    return Script(
        variables={
            "host": plan.host,
            "source": str(plan.source),
            "out": str(plan.directory),
            "cpu_class": plan.cpu_class.value,
            "jobs": str(plan.jobs),
            "python": str(generator.python),
            "pythonpath": str(generator.directory),
            "tools": str(plan.tools),
        },
        functions={
            "probe": _PROBE,
            "run_logged": _RUN_LOGGED,
            "build": _BUILD,
            "smoke_test": _SMOKE_TEST,
            "ensure": f'local cmake_args=({quoted(plan.cmake_args)})\nPATH="$tools:$PATH"\n{_ENSURE}',
        },
    )
