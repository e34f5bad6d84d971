import type { ComponentChild } from 'preact';
import { useValue } from '../shared/value.ts';
import { Charts } from './charts.tsx';
import { counts, history } from './live.ts';
import { Nodes } from './nodes.tsx';
import { Tiles } from './tiles.tsx';
import { useSay } from './use-say.ts';

export function Overview(): ComponentChild {
  const { say } = useSay();
  const last = useValue(counts);
  return (
    <>
      <h1 class="hidden" tabIndex={-1}>
        {say('nav.overview')}
      </h1>
      <Tiles last={last} rates={history.rates} />
      <Nodes nodes={last?.nodes ?? []} asked={last?.node ?? ''} />
      <Charts />
      <p class="muted foot">{last !== undefined && `Lingxi ${last.version} · ${last.runtime}`}</p>
    </>
  );
}
