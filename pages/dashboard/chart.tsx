import type { ComponentChild } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Language } from '../shared/language.ts';
import { theme } from '../shared/theme.ts';
import { useValue } from '../shared/value.ts';
import { clockTime, measured, wholeNumber } from './format.ts';
import { history, samples } from './live.ts';
import { useSay } from './use-say.ts';

export interface Series {
  /** Name of the value in a sample. */
  readonly key: string;
  readonly label: string;
}

interface ChartProps {
  readonly title: string;
  readonly series: readonly Series[];
  readonly spanS: number;
}

const HEIGHT = 150;
const AXIS_WIDTH = 52;

/** Lines over time. The values under the pointer, or the newest ones, are shown below. */
export function Chart({ title, series, spanS }: ChartProps): ComponentChild {
  const { say, spoken } = useSay();
  const colours = useColours();
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const [pointed, setPointed] = useState<number>();
  const grown = useValue(samples);
  const data = useMemo(() => dataOf(series, spanS), [series, spanS, grown]);
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const options = optionsOf({
      series,
      colours,
      spoken,
      spanS,
      width: element.clientWidth,
      onPoint: setPointed,
    });
    const made = new uPlot(options, data, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [series, colours, spoken, spanS]);
  useEffect(() => {
    // A hidden tab draws when it becomes visible again.
    if (document.visibilityState === 'visible') plot.current?.setData(data);
  }, [data]);
  return (
    <figure class="chart">
      <figcaption>
        <span>{title}</span>
        <span class="muted">
          {pointed === undefined ? '' : clockTime((data[0][pointed] ?? 0) * 1_000, spoken)}
        </span>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={say('chart.drawing', { title })} />
      <ul class="legend">
        {series.map(({ key, label }, place_) => (
          <li key={key}>
            <span class="swatch" style={{ background: colours.series[place_] ?? '' }} />
            <span class="legend-label">{label}</span>
            <span class="legend-value">
              {valueText(pointed === undefined ? history.newest[key] : data[place_ + 1]?.[pointed], spoken)}
            </span>
          </li>
        ))}
      </ul>
    </figure>
  );
}

function valueText(value: number | null | undefined, spoken: Language): string {
  if (value == null) return '–';
  return Number.isInteger(value) ? wholeNumber(value, spoken) : measured(value, spoken);
}

function dataOf(series: readonly Series[], spanS: number): uPlot.AlignedData {
  const kept = history.samples.slice(-spanS - 1);
  return [
    kept.map(({ at }) => at / 1_000),
    ...series.map(({ key }) => kept.map(({ values }) => values[key] ?? null)),
  ];
}

interface Colours {
  readonly series: readonly string[];
  readonly axis: string;
  readonly grid: string;
}

/** A canvas cannot use CSS variables. */
function useColours(): Colours {
  const present = useValue(theme);
  return useMemo(() => {
    const style = getComputedStyle(document.documentElement);
    const read = (name: string): string => style.getPropertyValue(name).trim();
    return {
      series: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => read(`--s${number}`)),
      axis: read('--muted'),
      grid: read('--line'),
    };
  }, [present]);
}

interface Look extends Pick<ChartProps, 'series' | 'spanS'> {
  readonly colours: Colours;
  readonly spoken: Language;
  readonly width: number;
  readonly onPoint: (index: number | undefined) => void;
}

function optionsOf({ series, colours, spoken, spanS, width, onPoint }: Look): uPlot.Options {
  const axis = {
    stroke: colours.axis,
    font: '11px system-ui, sans-serif',
    grid: { stroke: colours.grid, width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 26, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 5 }, sync: { key: 'lingxi' } },
    scales: {
      // The whole span from the start: the lines enter from the right, and the axis does not move.
      x: {
        time: true,
        range: (_, __, last) => [(last ?? Date.now() / 1_000) - spanS, last ?? Date.now() / 1_000],
      },
      y: { range: (_, __, most) => [0, topOf(most ?? 0)] },
    },
    axes: [
      {
        ...axis,
        size: 26,
        space: 70,
        values: (_, times) => times.map((time) => clockTime(time * 1_000, spoken)),
      },
      {
        ...axis,
        size: AXIS_WIDTH,
        space: 34,
        values: (_, values) => values.map((value) => shortNumber(value)),
      },
    ],
    series: [
      {},
      ...series.map(({ label }, index) => ({
        label,
        stroke: colours.series[index] ?? colours.axis,
        width: 1.5,
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [({ cursor: { idx } }) => onPoint(idx ?? undefined)] },
  };
}

/** A round number with some room above the highest value. */
function topOf(most: number): number {
  if (!(most > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(most));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * size >= most * 1.05);
  return (step ?? 12) * size;
}

function shortNumber(value: number): string {
  const short = (scaled: number): string => String(Number(scaled.toPrecision(3)));
  if (value >= 1_000_000) return `${short(value / 1_000_000)}M`;
  return value >= 10_000 ? `${short(value / 1_000)}k` : short(value);
}
