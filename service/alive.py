"""Whether a service on this machine says that it is alive: `python -m service.alive URL`, for the health check of a container.

Exit code 0 if it does. The certificate is not looked at: the question does not leave the machine.
"""

from __future__ import annotations

import ssl
import sys
import urllib.error
import urllib.request
from http import HTTPStatus

_PATIENCE_S = 8.0


def main(url: str) -> int:
    """Ask; 1 and a word on standard error when it is not alive."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(url, timeout=_PATIENCE_S) as answer:
            return int(answer.status != HTTPStatus.OK)
    except (OSError, ValueError) as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
