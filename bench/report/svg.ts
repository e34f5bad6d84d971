import { barsOf } from '../../src/cli/bench/plot.ts';
import type { Summary } from '../../src/cli/bench/statistics.ts';

const ROW = 22;
const LABELS = 90;
const BARS = 420;
const COUNTS = 130;
const TOP = 34;

/** A histogram as a picture. Its colours suit light and dark pages. */
export function svgOf(title: string, summary: Summary): string {
  const bars = barsOf(summary);
  const most = Math.max(...bars.map(({ share }) => share), 0);
  const [width, height] = [LABELS + BARS + COUNTS, TOP + bars.length * ROW + 8];
  const text = (x: number, y: number, anchor: string, words: string): string =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}">${escaped(words)}</text>`;
  const rows = bars.flatMap(({ label, count, share }, index) => {
    const y = TOP + index * ROW;
    const length = Math.max(1, Math.round((share / most) * BARS));
    return [
      text(LABELS - 8, y + 15, 'end', label),
      `<rect x="${LABELS}" y="${y + 3}" width="${length}" height="${ROW - 6}" fill="#3b82a6"/>`,
      text(LABELS + length + 8, y + 15, 'start', `${count} (${(share * 100).toFixed(1)} %)`),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="sans-serif" font-size="12" fill="#808890">`,
    `<title>${escaped(title)}</title>`,
    `<text x="8" y="20" font-size="14">${escaped(title)}</text>`,
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
