"""What the log says of plans and comparisons, in words.

In: plans, and differences that a comparison has found. Out: parts of sentences. Long lists are cut.
"""

from __future__ import annotations

from proxy.core.haproxy.plans import Plan, Reload, RuntimeUpdate, Unchanged

MAX_CHANGES = 6
"""More changes than this are counted rather than listed in the log."""


def describe(plan: Plan) -> str:
    """Return what a plan does, in words."""
    match plan:
        case Reload(reasons):
            return f"reload: {_list(reasons)}"
        case RuntimeUpdate():
            return f"runtime update: {_list(plan.changes)}"
        case Unchanged():
            return "nothing to change"


def _list(phrases: tuple[str, ...]) -> str:
    more = len(phrases) - MAX_CHANGES
    return ", ".join(phrases[:MAX_CHANGES]) + (f" and {more} more" if more > 0 else "")


def tell_differences(differences: tuple[str, ...]) -> str:
    """Return what a comparison has found, and that it is corrected."""
    return f"corrected: {_list(differences)}" if differences else "no difference"
