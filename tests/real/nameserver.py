"""A name server that knows no name. It answers every question at once with "no such name".

The engines of a Swarm ask for the registry before each start of a container, and containers ask for names that do not exist
yet. Without an answer, each of them waits for many seconds. Started as a script, with the address to listen on.
"""

from __future__ import annotations

import socket
import sys

_HEADER_BYTES = 12
_NO_SUCH_NAME = b"\x81\x83"
_ONE_QUESTION_AND_NOTHING_ELSE = b"\0\1" + bytes(6)


def refusal(query: bytes) -> bytes:
    """Return the answer to a query with one question (RFC 1035, section 4.1)."""
    end_of_question = query.index(0, _HEADER_BYTES) + 5  # the name ends with a zero byte; type and class follow
    return query[:2] + _NO_SUCH_NAME + _ONE_QUESTION_AND_NOTHING_ELSE + query[_HEADER_BYTES:end_of_question]


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((sys.argv[1], 53))
        while True:
            query, asker = listener.recvfrom(4096)
            if len(query) > _HEADER_BYTES and 0 in query[_HEADER_BYTES:]:
                listener.sendto(refusal(query), asker)


if __name__ == "__main__":
    main()
