"""Runs every benchmark, prints Markdown and writes the table into `docs/benchmarks.md`; takes some five minutes."""

from __future__ import annotations

import argparse
import sys

from bench.changes import measure_few, measure_late, measure_many, measure_mixed_changes
from bench.cluster import measure_cluster
from bench.cost import measure_cost, measure_resync
from bench.instructions import measure_instructions
from bench.other_node import measure_other_node
from bench.packages import install
from bench.peers import measure_throughput
from bench.real import measure_real
from bench.stage import ROOT
from bench.table import describe_machine, render_table

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table: written by python -m bench -->", "<!-- end of table -->"
MEASUREMENTS = {
    "cost": measure_cost,
    "resync": measure_resync,
    "few": measure_few,
    "late": measure_late,
    "other-node": measure_other_node,
    "real": measure_real,
    "many": measure_many,
    "mixed": measure_mixed_changes,
    "cluster": measure_cluster,
    "throughput": measure_throughput,
    "instructions": measure_instructions,
}


def main() -> int:
    """Run what is asked for; return 0 when every budget holds."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"only these, without writing the page: {', '.join(MEASUREMENTS)}"
    )
    names = parser.parse_args().names
    if unknown := set(names) - MEASUREMENTS.keys():
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}")
    install("wrk")
    machine = describe_machine()
    rows = []
    for name, measure in MEASUREMENTS.items():
        if not names or name in names:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            rows += measure()
    text = f"{machine}\n\n{render_table(rows)}\n"
    print(text)
    if not names:
        write_page(text)
    return 0 if all(row.holds is not False for row in rows) else 1


def write_page(table: str) -> None:
    """Put the table between the marks of the page; what is around it is written by people."""
    text = PAGE.read_text() if PAGE.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(f"{head}{BEGIN}\n\n{table}\n{END}{tail}")


if __name__ == "__main__":
    sys.exit(main())
