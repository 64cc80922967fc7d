"""Says which policy an alert reaches, why not the others, and what would come of it now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from actions.action import ActionInfo
from actions.model import Mode
from actions.policies.decide import Decision, decide
from actions.policies.matchers import written
from actions.policies.parameters import Resolved, resolve_parameters
from actions.policy import Policies
from actions.window import closes_in, next_opening, open_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is to be said of one alert."""

    target: str
    decision: Decision
    action: ActionInfo | None = None
    """Of the policy that is reached."""
    parameters: Resolved = field(default_factory=Resolved)
    open_now: bool = True
    """Whether one of its windows is open; without windows always."""
    opens: float | None = None
    """Unix time of the next opening; None: it is open, or does not open within two weeks."""
    closes: float | None = None
    """Unix time at which it closes; None: it is closed, or stays open for two weeks and more."""

    def as_data(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        policy = self.decision.policy
        return {
            "target": self.target,
            "policy": policy.name if policy else None,
            "place": str(policy.place) if policy else None,
            "matches": [written(match) for match in policy.matches] if policy else [],
            "action": policy.action if policy else None,
            "class": self.action.action_class.value if self.action else None,
            "mode": self.decision.mode.value if policy else None,
            "reason": self.decision.reason,
            "parameters": dict(self.parameters.values),
            "origins": dict(self.parameters.origins),
            "problems": list(self.parameters.problems),
            "window": {"open": self.open_now, "opens": self.opens, "closes": self.closes} if policy else None,
            "tried": [
                {"policy": one.policy.name, "place": str(one.policy.place), "why_not": one.why_not}
                for one in self.decision.tried
            ],
        }


def explain(
    policies: Policies,
    catalogue: Mapping[str, ActionInfo],
    labels: Mapping[str, str],
    source: Literal["rules", "alertmanager"],
    target: str,
    cap: Mode,
    cap_from: str,
    now: float,
) -> Explanation:
    """Return what comes of an alert; `cap` is how far its target lets policies go, `cap_from` who says so."""
    decision = decide(policies, labels, source, target, cap, cap_from)
    policy = decision.policy
    if policy is None:
        return Explanation(target=target, decision=decision)
    info = catalogue[policy.action]
    is_open = open_now(policy.windows, now)
    stays = closes_in(policy.windows, now)
    return Explanation(
        target=target,
        decision=decision,
        action=info,
        parameters=resolve_parameters(info, policy.parameters, labels),
        open_now=is_open,
        opens=None if is_open else next_opening(policy.windows, now),
        closes=now + stays if is_open and math.isfinite(stays) else None,
    )
