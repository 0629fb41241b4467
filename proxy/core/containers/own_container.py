"""Which container this program runs in, by what it can see of itself.

In: the text of /proc/self/mountinfo, and the host name. Out: the container's id.
"""

from __future__ import annotations

import re

_OWN_FILE = re.compile(r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)$")
_ID = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")


def find_own_container_id(mountinfo_text: str, hostname: str) -> str | None:
    """Return the id of the container this process runs in, or None outside of any.

    The engine mounts three files of its folder for the container over /etc; `mountinfo_text` (/proc/self/mountinfo, see
    proc(5)) shows that folder. Failing that, an engine's default host name is the short id.
    """
    for line in mountinfo_text.splitlines():
        fields = line.split()
        # Only those mounts: a host shows the folders of all its containers in other mounts.
        if len(fields) > 4 and fields[4] in ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf"):
            match = _OWN_FILE.search(fields[3])
            if match:
                return match[1]
    return hostname if _ID.fullmatch(hostname) else None
