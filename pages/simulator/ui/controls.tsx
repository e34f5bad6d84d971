import { useState } from 'preact/hooks';
import { RULE_NAMES, type RuleName } from '../model/broken-rules.ts';
import { readSeed } from '../model/link.ts';
import { type Driver, SPEEDS } from './driver.ts';
import type { Texts } from './texts.ts';
import { clockText, elapsed } from './views.ts';

interface ControlsProps {
  readonly texts: Texts;
  readonly driver: Driver;
  readonly isDamaged: boolean;
}

export function Controls({ texts, driver, isDamaged }: ControlsProps) {
  const { play } = driver;
  const isWinding = driver.windsTo !== undefined;
  return (
    <section class="controls panel" aria-labelledby="controls">
      <h2 id="controls" class="visually-hidden">
        {texts.controls}
      </h2>
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={isWinding || play.isOver}
          onClick={() => (driver.isPlaying ? driver.pause() : driver.start())}
        >
          {driver.isPlaying ? texts.pause : texts.play}
        </button>
        <button
          type="button"
          disabled={driver.isPlaying || isWinding || play.isOver}
          onClick={() => void driver.step()}
        >
          {texts.step}
        </button>
        <label>
          {texts.speed}
          <select
            value={driver.speed}
            onChange={(event) => {
              driver.speed = Number(event.currentTarget.value);
              driver.show();
            }}
          >
            {SPEEDS.map((speed) => (
              <option key={speed} value={speed}>
                {speed}×
              </option>
            ))}
          </select>
        </label>
        <output class="time">{clockText(elapsed(play))}</output>
        <button
          type="button"
          class="toggle"
          aria-pressed={play.chance.isOn}
          disabled={isWinding || play.isOver}
          onClick={() => driver.press({ kind: play.chance.isOn ? 'chance-off' : 'chance-on' })}
        >
          {texts.chance}
        </button>
      </div>
      <Seeds texts={texts} driver={driver} />
      <Rules texts={texts} driver={driver} />
      <p class="note" role="status">
        {noteOf(texts, driver, isDamaged)}
      </p>
    </section>
  );
}

function noteOf(texts: Texts, driver: Driver, isDamaged: boolean): string {
  const { play } = driver;
  if (driver.windsTo !== undefined) return texts.winding;
  if (play.isOver) return texts.over;
  if (play.planned.length > 0) return texts.toCome(play.planned.length);
  return isDamaged ? texts.damaged : '';
}

function Seeds({ texts, driver }: Omit<ControlsProps, 'isDamaged'>) {
  const { plan } = driver.play;
  const [typed, setTyped] = useState<string>();
  const [said, setSaid] = useState('');
  const seed = readSeed(typed ?? String(plan.seed));
  const begin = (): void => {
    if (seed === undefined) return setSaid(texts.badSeed);
    setSaid('');
    // The same seed again is replaced by a new one. "Replay" plays the same history.
    const next = typed === undefined ? (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) : seed;
    setTyped(undefined);
    void driver.load({ seed: next, rule: plan.rule, presses: [] }, { plays: true });
  };
  const replay = (): void => {
    setSaid('');
    setTyped(undefined);
    const { presses } = driver.play;
    void driver.load({ ...plan, presses: [...presses, ...driver.play.planned] }, { plays: true });
  };
  const copy = async (): Promise<void> => {
    history.replaceState(null, '', driver.link);
    try {
      await navigator.clipboard.writeText(location.href);
      setSaid(texts.copied);
    } catch {
      setSaid(texts.notCopied);
    }
  };
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        begin();
      }}
    >
      <label>
        {texts.seed}
        <input
          inputMode="numeric"
          size={10}
          maxLength={10}
          value={typed ?? String(plan.seed)}
          aria-invalid={seed === undefined}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
      </label>
      <button type="submit">{texts.fresh}</button>
      <button type="button" title={texts.replayHint} onClick={replay}>
        {texts.replay}
      </button>
      <button type="button" onClick={() => void copy()}>
        {texts.copy}
      </button>
      <span class="said" role="status">
        {said}
      </span>
    </form>
  );
}

function Rules({ texts, driver }: Omit<ControlsProps, 'isDamaged'>) {
  const { play } = driver;
  const { rule } = play.plan;
  const choose = (name: RuleName): void => {
    const { plan, presses, tick } = play;
    void driver.load({ ...plan, presses, rule: name }, { until: tick, plays: driver.isPlaying });
  };
  return (
    <div class="row rules">
      <label>
        {texts.rule}
        <select value={rule} onChange={(event) => choose(event.currentTarget.value as RuleName)}>
          {RULE_NAMES.map((name) => (
            <option key={name} value={name}>
              {texts.rules[name].name}
            </option>
          ))}
        </select>
      </label>
      <p class="hint">{texts.ruleHint}</p>
    </div>
  );
}
