"""The Nomad agent: its configuration document and the script that keeps it running."""

import json
from typing import Any, Final

from components.model.host import Role
from components.plan.images import DOCKER_DAEMON
from components.plan.spec import NomadPlan
from components.render.nomad import CONTAINER_CAPABILITIES
from components.render.script import Script, quoted

# Cloud fingerprints only cost time in a home network, and one of them makes the start fail.
_DENIED_FINGERPRINTS: Final = "env_aws,env_azure,env_gce,env_digitalocean"


def agent_config(plan: NomadPlan) -> dict[str, Any]:
    """The agent's configuration in Nomad's own keys."""
    http, rpc, serf = plan.ports
    loopback = plan.bind == "127.0.0.1"
    return {
        "name": plan.host,
        "data_dir": str(plan.directory / "data"),
        "bind_addr": plan.bind,
        "ports": {"http": http, "rpc": rpc, "serf": serf},
        "advertise": {name: plan.bind for name in ("http", "rpc", "serf")},
        "acl": {"enabled": True},
        "server": {"enabled": Role.SERVER in plan.roles, "bootstrap_expect": 1},
        "client": {
            "enabled": Role.WORKER in plan.roles,
            "servers": [f"{plan.bind}:{rpc}"],
            # Otherwise services register under the LAN address and checks of loopback fail.
            **({"network_interface": "lo"} if loopback else {}),
            "min_dynamic_port": plan.min_dynamic_port,
            "max_dynamic_port": plan.max_dynamic_port,
            "host_volume": {
                name: [{"path": str(path), "read_only": False}] for name, path in plan.volumes
            },
            "options": {"fingerprint.denylist": _DENIED_FINGERPRINTS},
        },
        "plugin": {
            # Nested blocks are lists here, or Nomad's parser takes them for unknown keys.
            "raw_exec": [{"config": [{"enabled": True}]}],
            "docker": [
                {
                    "config": [
                        {
                            # Locally built images cannot be pulled again.
                            "gc": [{"image": False, "dangling_containers": [{"enabled": False}]}],
                            "volumes": [{"enabled": False}],
                            "allow_privileged": False,
                            "allow_caps": list(CONTAINER_CAPABILITIES),
                        }
                    ]
                }
            ],
        },
        "disable_update_check": True,
        "leave_on_interrupt": False,
        "leave_on_terminate": False,
    }


def agent_config_text(plan: NomadPlan) -> str:
    """The configuration file."""
    return json.dumps(agent_config(plan), indent=2) + "\n"


_ALIVE: Final = """
[ -s "$dir/agent.pid" ] || return 1
local pid; pid=$(cat "$dir/agent.pid")
# A pid alone may have been given to another process meanwhile.
[ -r "/proc/$pid/cmdline" ] && tr '\\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$dir/agent.json"
"""

_LEADER: Final = """
[ -n "$(curl -fsS --max-time 2 "$address/v1/status/leader" 2>/dev/null | tr -d '"')" ]
"""

_PROBE: Final = """
alive || { echo "the Nomad agent is not running"; return 1; }
printf '%s' "$config" | cmp -s - "$dir/agent.json" || { echo "$dir/agent.json was changed"; return 1; }
leader || { echo "the Nomad agent at $address does not answer"; return 1; }
"""

_ENSURE: Final = """
probe >/dev/null 2>&1 && return 0
mkdir -p "$dir/data"
chmod 700 "$dir"
# The agent refuses to start where a volume's folder is missing.
for folder in "${volumes[@]}"; do
  mkdir -p "$folder"
  chmod 700 "$folder"
done
if alive; then
  stop_agent
fi
printf '%s' "$config" >"$dir/agent.json.new"
mv "$dir/agent.json.new" "$dir/agent.json"
local first=""
[ -d "$dir/data/server" ] || first=yes
start_agent
if [ -n "$first" ]; then
  # The client registers before the server's keyring exists, fails, and tries again only after some
  # twenty seconds; with the keyring in place a second start registers at once.
  wait_for keyring
  stop_agent
  start_agent
fi
echo "nomad agent at $address"
"""

_START_AGENT: Final = """
# Detached with every descriptor closed: it outlives this command and the terminal.
setsid env -i HOME="$HOME" PATH="$PATH" LANG=C.UTF-8 \\
  "$nomad" agent -config "$dir/agent.json" </dev/null >>"$dir/agent.log" 2>&1 &
echo $! >"$dir/agent.pid"
disown
wait_for leader
"""

_WAIT_FOR: Final = """
for _ in $(seq 120); do
  "$1" && return 0
  alive || { echo "the Nomad agent stopped; last lines of $dir/agent.log:"; tail -n 15 "$dir/agent.log"; return 1; }
  sleep 0.25
done
echo "no answer from $address within 30 s; see $dir/agent.log"
return 1
"""

_KEYRING: Final = """
curl -fsS --max-time 2 "$address/.well-known/jwks.json" 2>/dev/null | grep -q '"kid"'
"""

_STOP_AGENT: Final = """
local pid; pid=$(cat "$dir/agent.pid")
kill -INT "$pid" 2>/dev/null || true
for _ in $(seq 60); do
  alive || break
  sleep 0.25
done
alive && kill -KILL "$pid" || true
rm -f "$dir/agent.pid"
"""

# Tasks outlive their agent by design, so they are found by the allocation directory in their
# environment, which Nomad gives to every task and to nothing else.
_TASKS: Final = """
grep -lz -- "^NOMAD_ALLOC_DIR=$dir/data/" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 || true
"""

# A containerised task's environment names no directory of the host, but its container mounts them.
# Nomad gives every one of its containers this label.
_CONTAINERS: Final = """
command -v docker >/dev/null || return 0
local id mounts
for id in $(timeout 20 docker -H "$daemon" ps -aq --filter label=com.hashicorp.nomad.alloc_id 2>/dev/null || true); do
  mounts=$(docker -H "$daemon" inspect -f '{{range .Mounts}}{{println .Source}}{{end}}' "$id" 2>/dev/null || true)
  if grep -qF -- "$dir/data/" <<<"$mounts"; then
    echo "$id"
  fi
done
"""

_REMOVE: Final = """
for _ in $(seq 80); do
  [ -z "$(tasks)" ] && break
  sleep 0.25
done
for pid in $(tasks); do kill -TERM "$pid" 2>/dev/null || true; done
for _ in $(seq 20); do
  [ -z "$(tasks)" ] && break
  sleep 0.25
done
for pid in $(tasks); do kill -KILL "$pid" 2>/dev/null || true; done
for id in $(containers); do docker -H "$daemon" rm -f "$id" >/dev/null 2>&1 || true; done
if alive; then
  stop_agent
fi
# Nomad's own helpers of tasks carry no such mark, but they hold the tasks' log files open.
for pid in $(find /proc/[0-9]*/fd -lname "$dir/data/*" 2>/dev/null | cut -d/ -f3 | sort -u); do
  kill -KILL "$pid" 2>/dev/null || true
done
# Task directories hold mounts of their own while a task runs; afterwards nothing is lost with them.
for mount in $(awk -v d="$dir/data/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r); do
  umount "$mount" 2>/dev/null || true
done
rm -rf "$dir/data" "$dir/alloc_mounts" "$dir/agent.json" "$dir/agent.pid"
"""


def agent_script(plan: NomadPlan) -> Script:
    """``ensure`` starts the agent, ``probe`` tells whether it is as wanted, ``remove`` ends it
    together with whatever its tasks left behind, and deletes its state.
    """
    folders = tuple(str(path) for _, path in plan.volumes)
    return Script(
        variables={
            "dir": str(plan.directory),
            "nomad": str(plan.binary),
            "address": plan.address,
            "config": agent_config_text(plan),
            "daemon": DOCKER_DAEMON,
        },
        functions={
            "alive": _ALIVE,
            "leader": _LEADER,
            "keyring": _KEYRING,
            "wait_for": _WAIT_FOR,
            "probe": _PROBE,
            "start_agent": _START_AGENT,
            "stop_agent": _STOP_AGENT,
            "ensure": f"local volumes=({quoted(folders)})\n{_ENSURE}",
            "tasks": _TASKS,
            "containers": _CONTAINERS,
            "remove": _REMOVE,
        },
    )


_ACL_PROBE: Final = """
local file="$dir/.token.$$"
(umask 077; printf 'X-Nomad-Token: %s' "$SECRET" >"$file")
local code=0
curl -fsS --max-time 5 -H @"$file" "$address/v1/acl/token/self" >/dev/null 2>&1 || code=1
rm -f "$file"
[ "$code" = 0 ] || { echo "Nomad does not accept the bootstrap token"; return 1; }
"""

_ACL_ENSURE: Final = """
probe >/dev/null 2>&1 && return 0
# The leader is elected before the ACL store is ready to be written.
for _ in $(seq 40); do
  if printf '{"BootstrapSecret": "%s"}' "$SECRET" | curl -s --max-time 5 -o "$dir/acl.answer" \\
      -X POST --data-binary @- "$address/v1/acl/bootstrap" && probe >/dev/null 2>&1; then
    rm -f "$dir/acl.answer"
    return 0
  fi
  grep -q 'already done' "$dir/acl.answer" 2>/dev/null && break
  sleep 0.25
done
leader || { echo "Nomad at $address does not answer; see $dir/agent.log"; return 1; }
echo "Nomad was bootstrapped with another token: $(cat "$dir/acl.answer" 2>/dev/null)"
echo "fix: run 'hearth down' (it deletes the state in $dir), then 'hearth up'"
return 1
"""


def acl_script(plan: NomadPlan) -> Script:
    """Bootstraps ACLs with a token made beforehand; expects it in the variable SECRET."""
    return Script(
        variables={"dir": str(plan.directory), "address": plan.address},
        functions={"leader": _LEADER, "probe": _ACL_PROBE, "ensure": _ACL_ENSURE},
    )
