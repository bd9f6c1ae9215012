"""Draws the matrix products of an engine under the machine's roofline, as one SVG file that needs nothing else.

    clipc bench --arch ViT-B-32 --batch 32 --precision bf16 --explain --json > bf16.json
    python3 bench/roofline.py bf16.json … -o docs/roofline.svg

Each input is one such object. A circle is a kind of step: how fast it ran over how many operations it has for a byte of
weights, input and output; its area is its share of the time. The roof (Williams, Waterman and Patterson 2009) is the
lower of memory's speed times operations a byte, and the arithmetic's peak; both are the best that the inputs measured.
"""

import argparse
import json
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 960, 600
LEFT, RIGHT, TOP, BOTTOM = 76, 116, 74, 66
CHARACTER = 6.6  # width of one in a label
JOIN = 30  # circles of one run closer than that share a label
PRECISIONS = ("fp32", "bf16", "int8")
NAMES = {"query, key, value": "q k v", "attention output + residual": "attention out", "fc1 + activation": "fc1",
         "fc2 + residual": "fc2"}
STYLE = """
:root{--page:#fff;--ink:#1b1f24;--soft:#5d6673;--line:#e1e5ea;--fp32:#2f6db5;--bf16:#1f7a5c;--int8:#b3541e}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--ink:#e8ebef;--soft:#9aa4b1;--line:#2e343c;
--fp32:#74aef0;--bf16:#4cc59a;--int8:#f0a168}}
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--ink)}
.soft{fill:var(--soft)}.title{font-size:17px;font-weight:600}.grid{stroke:var(--line)}
.memory{stroke:var(--soft)}.roof{fill:none;stroke-width:2.5}circle{fill-opacity:.35;stroke-width:1.5}
.label{paint-order:stroke;stroke:var(--page);stroke-width:3px}
"""
STYLE += "".join(f".{name}{{stroke:var(--{name})}}circle.{name},text.{name}{{fill:var(--{name})}}text.{name}{{stroke:none}}\n"
                 for name in PRECISIONS)


class Axes:
    """Logarithmic, from operations a byte and operations a second to pixels."""

    def __init__(self, points, peaks):
        rates = [rate for _, _, rate, _ in points] + list(peaks.values())
        intensities = [intensity for _, intensity, _, _ in points]
        self.x_from, self.x_to = min(intensities) / 1.6, max(intensities) * 2
        self.y_from, self.y_to = min(rates) / 1.6, max(rates) * 1.35

    def x(self, intensity):
        share = math.log(intensity / self.x_from) / math.log(self.x_to / self.x_from)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, rate):
        share = math.log(rate / self.y_from) / math.log(self.y_to / self.y_from)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def ticks(low, high):
    """1, 2 and 5 times the powers of ten between the two."""
    values = [factor * 10.0**power for power in range(-2, 16) for factor in (1, 2, 5)]
    return [value for value in values if low <= value <= high]


def draw_axes(axes, out):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in ticks(axes.x_from, axes.x_to):
        x = axes.x(value)
        out.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
                   f'<text class="soft" x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{value:g}</text>')
    for value in ticks(axes.y_from, axes.y_to):
        y = axes.y(value)
        out.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
                   f'<text class="soft" x="{LEFT - 9}" y="{y + 4:.1f}" text-anchor="end">{value * 1e-9:g}</text>')
    out.append(f'<text class="soft" x="{(LEFT + right) / 2}" y="{HEIGHT - 22}" text-anchor="middle">operations a byte of '
               'weights, input and output</text>')
    out.append(f'<text class="soft" transform="translate(22 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
               'Gop/s</text>')


def draw_roofs(axes, peaks, memory, out):
    """Returns the boxes where no label should be."""
    taken = []
    for precision, peak in peaks.items():
        start = max(axes.x_from, axes.y_from / memory)
        ridge = min(max(peak / memory, start), axes.x_to)
        path = f"M{axes.x(start):.1f} {axes.y(min(start * memory, peak)):.1f}"
        if ridge > start:
            path += f"L{axes.x(ridge):.1f} {axes.y(min(ridge * memory, peak)):.1f}"
        path += f"L{axes.x(axes.x_to):.1f} {axes.y(min(axes.x_to * memory, peak)):.1f}"
        out.append(f'<path class="roof {precision}" d="{path}"/><text class="{precision}" x="{WIDTH - RIGHT + 9}" '
                   f'y="{axes.y(peak) + 4:.1f}">{precision} {peak * 1e-9:.0f}</text>')
        taken.append((axes.x(ridge), axes.y(peak) - 3, WIDTH, axes.y(peak) + 3))
    return taken


def overlaps(box, boxes):
    return any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in boxes)


def place_label(text, x, y, radius, taken):
    """Right of, left of, above or below the circle, wherever nothing is yet; further and further away."""
    width = CHARACTER * len(text)
    for distance in range(6, 120, 8):
        gap = radius + distance
        for left, middle in ((x + gap, y), (x - gap - width, y), (x - width / 2, y - gap - 4), (x - width / 2, y + gap + 4),
                             (x + gap, y + gap), (x + gap, y - gap)):
            box = (left, middle - 8, left + width, middle + 8)
            if LEFT < left and left + width < WIDTH - RIGHT and TOP < box[1] and box[3] < HEIGHT - BOTTOM and \
                    not overlaps(box, taken):
                taken.append(box)
                return left, middle
    return None


def groups_of(circles):
    """Circles of one run that lie close together."""
    groups = []
    for circle in circles:
        near = [group for group in groups
                if any(math.hypot(circle[0] - other[0], circle[1] - other[1]) < JOIN for other in group)]
        joined = [circle] + [other for group in near for other in group]
        groups = [group for group in groups if group not in near] + [joined]
    return groups


def draw_run(axes, run, points, taken, out):
    circles = []
    for step, intensity, rate, share in points:
        circles.append((axes.x(intensity), axes.y(rate), 3 + 22 * math.sqrt(share), step))
    for x, y, radius, step in circles:
        title = f"{run['name']}: {step['step']}, {step['kernel']}, {rate_text(step)}, {100 * step['share']:.1f} % of the time"
        out.append(f'<circle class="{step["precision"]}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>'
                   f'{escape(title)}</title></circle>')
        taken.append((x - radius, y - radius, x + radius, y + radius))
    return [(run, group) for group in groups_of(circles)]


def rate_text(step):
    return f"{step['operations_per_s'] * 1e-9:.1f} Gop/s"


def draw_label(run, group, taken, out):
    group = sorted(group, key=lambda circle: -circle[2])
    text = f"{run['name']}: " + ", ".join(NAMES.get(step["step"], step["step"]) for _, _, _, step in group)
    x, y = (sum(circle[i] for circle in group) / len(group) for i in (0, 1))
    radius = max(math.hypot(circle[0] - x, circle[1] - y) + circle[2] for circle in group)
    place = place_label(text, x, y, radius, taken)
    if not place:
        return
    left, middle = place
    end = left if left > x else left + CHARACTER * len(text) if left + CHARACTER * len(text) < x else x
    if math.hypot(end - x, middle - y) > radius + 16:
        out.append(f'<line class="memory" x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{middle:.1f}" stroke-opacity=".5"/>')
    out.append(f'<text class="label" x="{left:.1f}" y="{middle + 4:.1f}">{escape(text)}</text>')


def read_run(path):
    with open(path, encoding="utf-8") as file:
        run = json.load(file)
    if "peaks" not in run:
        raise SystemExit(f"{path}: not an object of bench --explain --json")
    run["name"] = f"{run['tower']} {run['precision']} B={run['batch']}"
    run["points"] = [(step, step["operations"] / step["bytes"], step["operations_per_s"], step["share"])
                     for step in run["steps"] if step["operations"] > 0 and step["share"] >= 0.005]
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="EXPLAIN.json")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.svg")
    arguments = parser.parse_args()
    runs = [read_run(path) for path in arguments.inputs]
    measured = {name: [run["peaks"][f"{name}_operations_per_s"] or 0 for run in runs] for name in PRECISIONS}
    peaks = {name: max(values) for name, values in measured.items() if max(values) > 0}
    memory = max(run["peaks"]["all_threads_bytes_per_s"] for run in runs)
    axes = Axes([point for run in runs for point in run["points"]], peaks)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
           f"<style>{STYLE}</style>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--page)"/>',
           f'<text class="title" x="{LEFT}" y="32">Matrix products under the roofline</text>',
           f'<text class="soft" x="{LEFT}" y="54">{runs[0]["threads"]} threads; memory {memory * 1e-9:.1f} GB/s; area: '
           'share of the time</text>']
    draw_axes(axes, out)
    taken = draw_roofs(axes, peaks, memory, out)
    groups = []
    for run in runs:
        groups += draw_run(axes, run, run["points"], taken, out)
    for run, group in groups:
        draw_label(run, group, taken, out)
    out.append("</svg>\n")
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write("\n".join(out))


main()
