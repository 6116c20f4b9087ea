"""The script that lays out a service's code on a host, for services run without a container."""

from typing import Final

from components.plan.spec import AppPlan
from components.render.script import Script, quoted

_PROBE: Final = """
[ -f "$out/SHA256SUMS" ] || { echo "$name is not laid out in $out"; return 1; }
(cd "$out" && sha256sum --status -c SHA256SUMS) || { echo "files in $out were changed"; return 1; }
"""

_ENSURE: Final = """
probe >/dev/null 2>&1 && return 0
rm -rf "$out" "$out.new"
mkdir -p "$out.new"
for folder in "${folders[@]}"; do
  cp -R "$folder" "$out.new/"
done
find "$out.new" -name __pycache__ -type d -prune -exec rm -rf {} +
(cd "$out.new" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
mv "$out.new" "$out"
echo "$name: $out"
"""


def app_script(plan: AppPlan) -> Script:
    """Copies the source folders into ``plan.directory``; the old version stays until removed."""
    return Script(
        variables={"name": plan.name, "out": str(plan.directory)},
        functions={
            "probe": _PROBE,
            "ensure": f"local folders=({quoted(tuple(map(str, plan.source.folders)))})\n{_ENSURE}",
        },
    )
