"""The course of a decision as JSON, for POST /v1/route/explain. Pure."""

from gateway.routing.course import Course
from gateway.routing.decision import Decision, Stage
from gateway.routing.rules import CompiledRule


def of_decision(course: Course, decision: Decision) -> dict[str, object]:
    """Everything each stage said, also those that came after the one that decided."""
    return {"decision": decision.document(), **_account(course)}


def of_refusal(course: Course, message: str) -> dict[str, object]:
    """Why nobody could take the request."""
    return {"decision": None, "refusal": message, **_account(course)}


def _account(course: Course) -> dict[str, object]:
    candidates = course.candidates
    return {
        "facts": course.facts.summary(),
        "candidates": {
            "possible": list(candidates.possible),
            "live": list(candidates.live),
            "excluded": dict(candidates.excluded),
        },
        "sticky": {"remembered": course.remembered},
        "rules": [_rule(rule, course) for rule in course.rules],
        "neighbours": _neighbours(course),
        "classifier": {
            "expert": course.classified,
            "said": course.said,
            "skipped": course.skipped.get(Stage.CLASSIFIER),
        },
    }


def _rule(rule: CompiledRule, course: Course) -> dict[str, object]:
    failing = rule.failing(course.facts)
    return {
        "name": rule.name,
        "expert": rule.expert,
        "closed": rule.closed,
        "matches": failing is None,
        "failing": failing,
        "usable": rule.expert in course.pool,
    }


def _neighbours(course: Course) -> dict[str, object]:
    vote = course.vote
    if vote is None:
        return {"expert": None, "nearest": [], "skipped": None}
    return {
        "expert": vote.expert,
        "share": round(vote.share, 3),
        "nearest": [
            {"example": one.place, "expert": one.expert, "similarity": round(one.similarity, 3)}
            for one in vote.neighbours
        ],
        "skipped": vote.why or None,
    }
