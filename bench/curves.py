#!/usr/bin/env python3
"""Draws the validation loss of runs against the seconds they took, from the logs of ./train.

    python3 bench/curves.py '1 minute=build/recipe/1min-1.log' ... > docs/curves.svg
    python3 bench/curves.py 'Folio=x.log' 'at 1.3 times the time=x.log*1.3' --mark 'nanoGPT=1.4697'

Each operand is LABEL=LOG, or LABEL=LOG*FACTOR for what the same run would look like on something so
much slower. --mark LABEL=LOSS draws a level to compare with. Seconds are on a logarithmic axis.
What a run wrote before it was resumed at an earlier step does not count (training/runlog.h). Writes
one SVG that needs nothing else and follows the reader's light or dark setting. Needs Python alone.
"""
import argparse
import html
import json
import math
import pathlib
import sys

WIDTH, HEIGHT = 800, 460
LEFT, RIGHT, TOP, BOTTOM = 56, 216, 24, 48      # margins; curves are named in the one on the right
LINE = 15                                       # least distance of two names
TICKS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
DASHES = ('none', '7 3', '2 3', '9 3 2 3')
SHADES = 3                                      # colours that the style below knows
STYLE = """
  svg { background: #fff; color: #222; font: 12px sans-serif; }
  text { fill: currentColor; }
  .grid { stroke: #ddd; }
  .mark { stroke: #777; stroke-dasharray: 2 4; }
  .curve { fill: none; stroke-width: 2; }
  .s0 { stroke: #0b3d75; } .s1 { stroke: #c2570c; } .s2 { stroke: #5a9e4b; }
  @media (prefers-color-scheme: dark) {
    svg { background: #1b1b1b; color: #ddd; }
    .grid { stroke: #3a3a3a; }
    .s0 { stroke: #8fbdf0; } .s1 { stroke: #e8924a; } .s2 { stroke: #69a85b; }
  }
"""


def read_log(lines):
    """The (seconds, validation loss) of a run, without what a later start took back. Lines that a
    power cut left without their end, and lines of a file that is no log, are passed over.

    >>> read_log(['{"folio":"0.1.0"}', '{"step":0,"val_loss":4.4}',
    ...           '{"step":1,"seconds":2.0,"loss":3.1,"val_loss":3.0}',
    ...           '{"step":2,"seconds":3.0,"val_loss":2.5}', '{"resumed":1}',
    ...           '{"step":2,"seconds":3.5,"val_loss":2.4}', '{"step":3,"sec', '7'])
    [(2.0, 3.0), (3.5, 2.4)]
    """
    points = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict):
            continue
        if 'resumed' in entry:
            points = [p for p in points if p[0] <= entry['resumed']]
        elif 'val_loss' in entry and entry.get('seconds', 0) > 0:
            points.append((entry['step'], entry['seconds'], entry['val_loss']))
    return [(seconds, loss) for _, seconds, loss in points]


def apart(heights, least):
    """The same heights, in their order, moved down where two would touch.

    >>> apart([10, 12, 50], 15)
    [10, 25, 50]
    >>> apart([50, 12, 10], 15)
    [50, 25, 10]
    """
    moved = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for above, below in zip(order, order[1:]):
        moved[below] = max(moved[below], moved[above] + least)
    return moved


def named_curve(operand):
    """LABEL=LOG[*FACTOR]; what cannot be read is the user's mistake."""
    label, equals, path = operand.partition('=')
    path, star, factor = path.partition('*')
    try:
        slower = float(factor) if star else 1.0
        if not equals or not slower > 0:
            raise ValueError('expected LABEL=LOG or LABEL=LOG*FACTOR')
        points = read_log(pathlib.Path(path).read_bytes().decode().splitlines())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f'{operand}: {error}') from error
    if len(points) < 2:
        raise argparse.ArgumentTypeError(f'{path}: fewer than two evaluations')
    return label, [(slower * seconds, loss) for seconds, loss in points]


def named_level(operand):
    """LABEL=LOSS."""
    label, _, loss = operand.partition('=')
    try:
        return label, float(loss)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{operand}: expected LABEL=LOSS') from error


def draw(curves, levels, top):
    """The lines of the SVG; losses above `top` are cut off."""
    curves = [(label, [p for p in points if p[1] <= top]) for label, points in curves]
    curves = [(label, points) for label, points in curves if points]
    seconds = [s for _, points in curves for s, _ in points]
    losses = [v for _, points in curves for _, v in points] + [v for _, v in levels]
    first, last = min(seconds) / 1.1, max(seconds) * 1.1
    low, high = math.floor(10 * min(losses)) / 10, math.ceil(10 * max(losses)) / 10

    def x(s):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(s / first) / math.log(last / first)

    def y(loss):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)

    told = '; '.join(f'{label}: {points[-1][1]:.3f} after {points[-1][0]:.0f} s'
                     for label, points in curves)
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
           'aria-labelledby="title told">')
    yield '<title id="title">Validation loss against seconds of training</title>'
    yield f'<desc id="told">{html.escape(told)}</desc>'
    yield f'<style>{STYLE}</style>'
    step = 0.1 if high - low <= 1 else 0.2
    for i in range(round((high - low) / step) + 1):
        loss = low + i * step
        yield f'<path class="grid" d="M{LEFT} {y(loss):.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.1f}</text>'
    for s in TICKS:
        if first <= s <= last:
            yield f'<path class="grid" d="M{x(s):.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
            name = f'{s} s' if s < 60 else f'{s // 60} min' if s < 3600 else f'{s // 3600} h'
            yield (f'<text x="{x(s):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{name}'
                   '</text>')
    yield (f'<text x="{LEFT}" y="{HEIGHT - 8}">time, logarithmic; loss in nats per character of '
           'the validation part</text>')
    for _, loss in levels:
        yield f'<path class="mark" d="M{LEFT} {y(loss):.1f}H{WIDTH - RIGHT}"/>'
    strokes = [f'class="curve s{i % SHADES}" stroke-dasharray="{DASHES[i // SHADES % len(DASHES)]}"'
               for i in range(len(curves))]
    for (_, points), stroke in zip(curves, strokes):
        path = 'L'.join(f'{x(s):.1f} {y(loss):.1f}' for s, loss in points)
        yield f'<path {stroke} d="M{path}"/>'
    names = [(f'{label} {points[-1][1]:.3f}', points[-1][1], stroke)
             for (label, points), stroke in zip(curves, strokes)]
    names += [(f'{label} {loss:.3f}', loss, None) for label, loss in levels]
    heights = apart([y(loss) for _, loss, _ in names], LINE)
    for (name, _, stroke), height in zip(names, heights):
        if stroke is not None:
            yield f'<path {stroke} d="M{WIDTH - RIGHT + 6} {height:.1f}h18"/>'
        yield f'<text x="{WIDTH - RIGHT + 30}" y="{height + 4:.1f}">{html.escape(name)}</text>'
    yield '</svg>'


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('curves', type=named_curve, nargs='+', metavar='LABEL=LOG[*FACTOR]')
    parser.add_argument('--mark', type=named_level, action='append', default=[],
                        metavar='LABEL=LOSS', help='a level to compare with')
    parser.add_argument('--top', type=float, default=2.6, help='losses above are cut off (2.6)')
    o = parser.parse_args()
    if all(loss > o.top for _, points in o.curves for _, loss in points):
        parser.error(f'no evaluation is below --top {o.top}')
    sys.stdout.write('\n'.join(draw(o.curves, o.mark, o.top)) + '\n')


if __name__ == '__main__':
    main()
