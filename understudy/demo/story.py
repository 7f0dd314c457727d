"""The end of the demo: who saw what, the estimate, the evidence, the decision, and where to look."""

from __future__ import annotations

from understudy.demo.player import Tally
from understudy.demo.steps import Ports, Stage, say_audit


def tell(stage: Stage, tally: Tally) -> None:
    """Print the story of every release, oldest first, what is stored, and the addresses."""
    narrator, ports = stage.narrator, stage.ports
    narrator.title("The story")
    for row in reversed(stage.manager.history()):
        for sentence in stage.manager.explain(row["release_id"])["sentences"]:
            narrator.say(sentence)
    narrator.title("What was sent and what is stored")
    narrator.say(
        f"{tally.visits:,} visits of this run: {tally.watched:,} videos started, {tally.failures} failed"
    )
    say_audit(stage)
    narrator.title("Where to look")
    narrator.say(f"release pages    {Ports.url(ports.control)}/releases")
    narrator.say(f"a recommendation {Ports.url(ports.balancer)}/recommend/1?count=5&explain=1")
    narrator.say(f"metrics          {Ports.url(ports.balancer)}/metrics")
    narrator.say(f"logs             {stage.platform.home / 'logs'}")
