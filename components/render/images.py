"""The script that puts the locked Python packages for one base image into the Docker daemon.

Packages are fetched outside the build, by this machine's pip with this machine's settings: an
index, a mirror, a certificate or a folder of wheels that works for pip works for images, and the
build itself needs no network.
"""

from typing import Final

from components.plan.spec import ImagesPlan
from components.render.script import Script

# Asked of the base image, because wheels are made for one Python and one C library.
_FACTS: Final = """
import platform, sys
library, version = platform.libc_ver()
print("%d.%d" % sys.version_info[:2], platform.machine(), library or "unknown", version or "0")
"""

_PROBE: Final = """
docker -H "$daemon" image inspect "$reference" >/dev/null 2>&1 || { echo "image $reference is missing"; return 1; }
"""

_ENSURE: Final = """
probe >/dev/null 2>&1 && { echo "present: $reference"; return 0; }
local answer
if ! answer=$(docker -H "$daemon" run --rm --network none --entrypoint python3 "$base" -c "$facts" 2>&1); then
  echo "base image $base cannot be used: $(tail -n 3 <<<"$answer")"
  echo "  fix: 'docker pull $base' or 'docker import' one that has python3, set apps.base-image, or run the services without containers: hearth up --run-local"
  return 1
fi
local python machine library version
read -r python machine library version <<<"$(tail -n 1 <<<"$answer")"
if [ "$library" != glibc ]; then
  echo "base image $base uses the C library $library; the locked packages need glibc"
  echo "  fix: set apps.base-image to an image of Debian, Ubuntu or Fedora"
  return 1
fi
local minor platforms=()
for minor in $(seq "${version#*.}" -1 17); do platforms+=(--platform "manylinux_2_${minor}_$machine"); done
platforms+=(--platform "manylinux2014_$machine")
local work; work=$(mktemp -d)
trap "rm -rf '$work'" EXIT
"$pip" -m pip download --quiet --disable-pip-version-check --dest "$work" --require-hashes --no-deps --only-binary :all: \\
  --implementation cp --python-version "$python" --abi "cp${python/./}" --abi abi3 --abi none "${platforms[@]}" -r "$requirements"
tar -C "$work" -c . | docker -H "$daemon" import - "$reference" >/dev/null
echo "fetched: $(ls "$work" | wc -l) packages for Python $python"
"""


def wheels_script(plan: ImagesPlan) -> Script:
    """Keeps the packages as an image of their own, from which builds copy them."""
    wheels = plan.wheels
    return Script(
        variables={
            "daemon": plan.daemon,
            "reference": wheels.reference,
            "base": wheels.base_image,
            "requirements": str(wheels.requirements),
            "pip": str(wheels.pip),
            "facts": _FACTS,
        },
        functions={"probe": _PROBE, "ensure": _ENSURE},
    )
