"""Draw a race: requests per second of every proxy, and how far each figure is from its floor.

    python chart.py RESULT.json CHART.png

Run by the environment that has matplotlib, and so without anything of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

mpl.use("Agg")
_OWN_COLOUR, _COLOURS = "#c0392b", ("#34495e", "#2980b9", "#16a085", "#8e44ad", "#7f8c8d")
_STANDINGS = {"goal met": "#27ae60", "floor met, goal not": "#f1c40f", "FLOOR MISSED": "#c0392b"}
_UNJUDGED = "#95a5a6"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw everything that is there into a PNG."""
    figure, (speeds, goals) = plt.subplots(2, 1, figsize=(12, 14), height_ratios=(2, 3), layout="constrained")
    versions, machine = result["versions"], result["machine"]
    figure.suptitle(
        f"rapidsos-proxy {result['commit']}, full traffic log on, {result['at']}\n"
        f"{machine['processor']}, Python {versions['python']}, Envoy {versions['envoy']}, nginx {versions['nginx']}"
    )
    _draw_speeds(speeds, [row for row in result["rows"] if row["heat"].endswith(" upstream")], result["own"])
    _draw_goals(goals, [verdict for verdict in result["goals"] if verdict["figure"] is not None])
    figure.savefig(path, dpi=110)


def _draw_speeds(axes: Any, rows: list[dict[str, Any]], own: str) -> None:
    heats = list(dict.fromkeys(row["heat"] for row in rows))
    proxies = list(dict.fromkeys(row["proxy"] for row in rows))
    colours = iter(_COLOURS)
    width = 0.85 / max(1, len(proxies))
    for index, proxy in enumerate(proxies):
        speeds = {row["heat"]: row["requests_per_s"] for row in rows if row["proxy"] == proxy}
        places = [heats.index(heat) + (index - len(proxies) / 2 + 0.5) * width for heat in speeds]
        log = next(row["log"] for row in rows if row["proxy"] == proxy)
        colour = _OWN_COLOUR if proxy == own else next(colours)
        bars = axes.bar(places, list(speeds.values()), width, label=f"{proxy}, {log}", color=colour)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=7, rotation=90, padding=3)
    axes.set_xticks(range(len(heats)), heats)
    axes.set_ylabel("requests per second on one core, 32 connections")
    axes.margins(y=0.2)
    if proxies:
        axes.legend(fontsize=8)


def _draw_goals(axes: Any, verdicts: list[dict[str, Any]]) -> None:
    names = [f"{verdict['number']}. {verdict['name']}" for verdict in verdicts]
    lengths = [_find_length(verdict) for verdict in verdicts]
    colours = [_STANDINGS.get(verdict["standing"], _UNJUDGED) for verdict in verdicts]
    bars = axes.barh(range(len(names)), [min(length, 2.5) for length in lengths], color=colours)
    labels = [f"{verdict['figure']:.2f}, floor {verdict['floor']:g}" for verdict in verdicts]
    axes.bar_label(bars, labels, fontsize=8, padding=3)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1, zorder=0)
    axes.set_xlim(0, 3)
    axes.set_xlabel("figure by floor: right of the line the floor holds (where less is better, floor by figure)")


def _find_length(verdict: dict[str, Any]) -> float:
    figure, floor = verdict["figure"], verdict["floor"]
    if not verdict["at_most"]:
        return figure / floor
    return floor / figure if figure > 0 else float("inf")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
