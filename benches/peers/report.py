"""How are the figures shown: as a table and as pictures?"""

import math
import statistics
from html import escape

COLOURS = ["#7f7f7f", "#d62728", "#1f77b4", "#2ca02c", "#8fbc5a", "#9467bd", "#e08214", "#17a2a2"]
# Readable on white and on black.
INK = "#808080"


def shown(value, unit):
    if unit == "us":
        for step, name in ((1e6, "s"), (1e3, "ms"), (1, "us")):
            if value >= step:
                return f"{three(value / step)} {name}"
        return f"{three(value * 1000)} ns"
    if unit == "bytes":
        return f"{value / 1024:.0f} KiB" if value >= 1024 else f"{value:.0f} B"
    if unit == "times":
        return f"{value:.2f}"
    return f"{three(value / 1000)} k" if value >= 1000 and unit == "IOPS" else f"{value:.0f}"


def three(value):
    return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f}"


def ratio(values, base):
    """The median of the rounds' ratios, so what slows a round down slows both sides of it."""
    return statistics.median(one / other for one, other in zip(values, base))


def table(figures, rows, names):
    lines = [f"| median [least..most] (of {names[0]}) | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for key, title, unit in rows:
        base = figures[key].get(names[0])
        cells = [title if unit in ("us", "bytes", "times") else f"{title}, {unit}"]
        for name in names:
            values = figures[key].get(name)
            if not values:
                cells.append("-")
                continue
            cell = shown(statistics.median(values), unit)
            if len(values) > 1:
                cell += f" [{shown(min(values), unit)}..{shown(max(values), unit)}]"
            if base and name != names[0]:
                cell += f" ({ratio(values, base):.2f})"
            cells.append(cell)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(title, groups, names, unit):
    """Bars beside each other for each group, on a logarithmic scale: `groups` has a title and the values by name for each."""
    values = [value for _, by_name in groups for value in by_name.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    left, top, width, height, row = 190, 34, 760, 0, 14
    parts = []

    def across(value):
        return left + (math.log10(value) - low) / (high - low) * (width - left - 90)

    y = top
    for group, by_name in groups:
        parts.append(f'<text x="{left - 8}" y="{y + row * len(by_name) / 2 + 4:.0f}" text-anchor="end">{escape(group)}</text>')
        for name in [name for name in names if name in by_name]:
            value, colour = by_name[name], COLOURS[names.index(name) % len(COLOURS)]
            end = max(across(value), left + 1)
            parts.append(f'<rect x="{left}" y="{y}" width="{end - left:.1f}" height="{row - 3}" fill="{colour}"/>')
            label = shown(value, unit) if unit == "us" else f"{value:.2f}"
            parts.append(f'<text x="{end + 4:.1f}" y="{y + row - 4}" font-size="10">{label}</text>')
            y += row
        y += 12
    height = y + 36
    for power in range(low, high + 1):
        x = across(10**power)
        parts.insert(0, f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{y - 6}" stroke="{INK}" stroke-opacity="0.35"/>')
    x = left
    for name in names:
        if any(name in by_name for _, by_name in groups):
            parts.append(f'<rect x="{x}" y="{y + 6}" width="10" height="10" fill="{COLOURS[names.index(name) % len(COLOURS)]}"/>')
            parts.append(f'<text x="{x + 13}" y="{y + 15}" font-size="10">{escape(name)}</text>')
            x += 24 + 6 * len(name)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(width, x)} {height}" font-family="sans-serif" font-size="12" fill="{INK}">',
            f'<text x="8" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )
