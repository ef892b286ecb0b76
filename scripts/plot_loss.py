#!/usr/bin/env python3
"""Draws the loss of a run in the terminal. Usage: plot_loss.py METRICS.jsonl [WIDTH [HEIGHT]]"""

import json
import sys


def read_losses(path):
    """Steps and losses of a metrics.jsonl; steps without a loss (null: not finite) are left out."""
    with open(path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file if line.strip()]
    return [(r["step"], r["loss"]) for r in records if r.get("loss") is not None], records


def columns(points, width):
    """Mean loss of the steps that share a column."""
    size = max(1, -(-len(points) // width))
    groups = [points[i:i + size] for i in range(0, len(points), size)]
    return [(g[0][0], sum(loss for _, loss in g) / len(g)) for g in groups]


def draw(points, width, height):
    """Lines of the picture: loss upwards, steps to the right."""
    means = columns(points, width)
    low, high = min(m for _, m in means), max(m for _, m in means)
    span = (high - low) or 1.0
    rows = [[" "] * len(means) for _ in range(height)]
    for x, (_, loss) in enumerate(means):
        rows[round((high - loss) / span * (height - 1))][x] = "*"
    lines = [f"{high - span * y / (height - 1):8.3f} |{''.join(row)}" for y, row in enumerate(rows)]
    last = f"step {points[-1][0]}"
    lines.append(" " * 9 + "+" + "-" * len(means))
    lines.append(" " * 10 + f"step {points[0][0]}".ljust(max(1, len(means) - len(last))) + last)
    return lines


def main():
    width = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    height = int(sys.argv[3]) if len(sys.argv) > 3 else 14
    try:
        points, records = read_losses(sys.argv[1])
    except (OSError, ValueError, KeyError, IndexError) as error:
        print(f"[plot_loss] cannot read the metrics: {error}", file=sys.stderr)
        return 1
    if not points:
        print("[plot_loss] no step has a loss", file=sys.stderr)
        return 1
    print("loss")
    print("\n".join(draw(points, width, height)))
    speeds = sorted(r["tokens_per_second"] for r in records if r.get("tokens_per_second"))
    tail = points[-min(10, len(points)):]
    print(f"loss {points[0][1]:.3f} at step {points[0][0]}, {sum(loss for _, loss in tail) / len(tail):.3f} over the last "
          f"{len(tail)} steps" + (f"; median {speeds[len(speeds) // 2]:,.0f} tokens/s" if speeds else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
