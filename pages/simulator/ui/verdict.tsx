import type { RuleName } from '../model/broken-rules.ts';
import { CHECKS, type Verdict } from '../model/checks.ts';
import type { Texts } from './texts.ts';

const MAX_VIOLATIONS = 20;

export function VerdictBanner({ texts, verdict, rule }: { texts: Texts; verdict: Verdict; rule: RuleName }) {
  const { isExact, broken, violations } = verdict;
  const isPlanted = rule !== 'none';
  return (
    <section class={`verdict ${isExact ? 'is-exact' : 'is-wrong'}`} aria-labelledby="verdict">
      <div class="verdict-head">
        <span class="verdict-mark" aria-hidden="true">
          {isExact ? '✓' : '✗'}
        </span>
        <div>
          <div role="status">
            <h2 id="verdict">{isExact ? texts.exact : texts.wrong}</h2>
          </div>
          <p class="counts">{texts.counts(verdict)}</p>
        </div>
      </div>
      <ul class="checks">
        {CHECKS.map((check) => (
          <li key={check} data-check={check} class={broken.has(check) ? 'broken' : 'kept'}>
            <span aria-hidden="true">{broken.has(check) ? '✗' : '✓'}</span>
            {texts.checks[check]}
            <span class="visually-hidden">: {broken.has(check) ? texts.violated : texts.holds}</span>
          </li>
        ))}
      </ul>
      {isPlanted && isExact && (
        <p class="unmet" role="status">
          {texts.unmet} {texts.rules[rule].hint}
        </p>
      )}
      {violations.length > 0 && (
        <details class="violations" open>
          <summary>{texts.witness}</summary>
          {!isPlanted && <p>{texts.unplanned}</p>}
          <ul lang="en">
            {violations.slice(0, MAX_VIOLATIONS).map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}
