"""The script that looks at a host before anything changes. It only reads."""

from typing import Final

from components.plan.images import DOCKER_DAEMON
from components.plan.spec import HostPlan
from components.render.script import Script, quoted

_CHECK: Final = """
local problems=0
problem() { echo "$host: $1"; echo "  fix: $2"; problems=$(( problems + 1 )); }

local parent="$data_dir"
while [ ! -d "$parent" ]; do parent=$(dirname "$parent"); done
[ -w "$parent" ] || problem "data-dir $data_dir cannot be written" "chown $parent, or set data-dir of host $host"

local free; free=$(( $(stat -f -c '%a*%S' "$parent") / 1048576 ))
[ "$free" -ge "$disk_mib" ] || problem "$data_dir has $free MiB free, $disk_mib MiB are needed" \\
  "free space, or set data-dir of host $host to a larger disk"

local total; total=$(( $(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 ))
# Firmware and kernel keep a share of what is installed.
[ "$total" -ge $(( memory_mib * 85 / 100 )) ] || problem "memory-mib says $memory_mib, the machine has $total" \\
  "correct hardware.memory-mib of host $host"

if [ -n "$containers" ]; then
  local answer
  if ! command -v docker >/dev/null; then
    problem "apps.driver is docker, but there is no docker command" "install Docker, or run the services without containers: hearth up --run-local"
  elif ! answer=$(timeout 20 docker -H "$daemon" version --format '{{.Server.Version}}' 2>&1); then
    problem "Docker does not answer: $(tail -n 1 <<<"$answer")" "start Docker, or run the services without containers: hearth up --run-local"
  fi
fi

local port owner
for port in "${ports[@]}"; do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || continue
  ours "$port" && continue
  owner=$(ss -Hltnp "sport = :$port" 2>/dev/null | sed -n 's/.*users:(("\\([^"]*\\)",pid=\\([0-9]*\\).*/ by \\1 (process \\2)/p' | head -n 1) || owner=""
  problem "port $port is taken$owner" "stop that program, or set nomad.port / gateway.port in the stack file"
done
[ "$problems" = 0 ] || exit 3
"""

# A containerised task of ours: its container mounts our directories and was given the port.
_OUR_CONTAINER: Final = """
command -v docker >/dev/null || return 1
local ids found
ids=$(timeout 20 docker -H "$daemon" ps -q --filter label=com.hashicorp.nomad.alloc_id 2>/dev/null) || return 1
[ -n "$ids" ] || return 1
found=$(docker -H "$daemon" inspect -f '{{range .Mounts}}{{.Source}} {{end}}{{json .Config.Env}}' $ids 2>/dev/null) || true
found=$(grep -F -- "$data_dir/nomad/" <<<"$found" || true)
grep -q "\\"NOMAD_PORT_[a-z]*=$1\\"" <<<"$found"
"""

# A port is ours when the agent of this data directory is alive and a process of its tree, found by
# its configuration or its allocation directory, listens there.
_OURS: Final = """
local inode pid
inode=$(awk -v hex="$(printf ':%04X' "$1")" '$4 == "0A" && index($2, hex) == length($2) - 4 {print $10}' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
for pid in $( { grep -lz -- "^NOMAD_ALLOC_DIR=$data_dir/nomad/" /proc/[0-9]*/environ 2>/dev/null || true; grep -lF -- "$data_dir/nomad/agent.json" /proc/[0-9]*/cmdline 2>/dev/null || true; } | cut -d/ -f3); do
  local one open; open=$(ls -l "/proc/$pid/fd" 2>/dev/null || true)
  for one in $inode; do
    # No pipe: grep leaves at the first match, and a long listing would then end in a broken pipe.
    grep -qF "socket:[$one]" <<<"$open" && return 0
  done
done
our_container "$1"
"""


def preflight_script(plan: HostPlan) -> Script:
    """Prints one line per problem with its fix, and exits 3 when there is any."""
    ports = quoted(tuple(str(port) for port in plan.ports))
    return Script(
        variables={
            "host": plan.name,
            "data_dir": str(plan.data_dir),
            "disk_mib": str(plan.disk_mib),
            "memory_mib": str(plan.hardware.memory_mib),
            "daemon": DOCKER_DAEMON,
            "containers": "yes" if plan.containers else "",
        },
        functions={
            "our_container": _OUR_CONTAINER,
            "ours": _OURS,
            "check": f"local ports=({ports})\n{_CHECK}",
        },
    )
