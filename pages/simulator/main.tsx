import { render } from 'preact';
import { readLink } from './model/link.ts';
import { App } from './ui/app.tsx';
import { Driver } from './ui/driver.ts';

const DEFAULT_SEED = 7;

const place = document.querySelector('#page');
if (place !== null) open(place);

function open(page: Element): void {
  const link = readLink(location.hash);
  const isDamaged = link === undefined ? location.hash.length > 1 : link.isDamaged;
  const plan = link ?? { seed: DEFAULT_SEED, rule: 'none' as const, presses: [] };
  const driver = new Driver(plan);
  const isStill = matchMedia('(prefers-reduced-motion: reduce)').matches;
  // A copied link shows the moment at which it was copied.
  const until = link?.at ?? 0;
  void driver.load(
    { seed: plan.seed, rule: plan.rule, presses: plan.presses },
    { until, plays: until === 0 && !isStill },
  );
  render(<App driver={driver} isDamaged={isDamaged} />, page);
  addEventListener('hashchange', () => location.reload());
}
