import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';

/** A dashboard in a tab. */
export interface Dashboard {
  readonly page: Page;
  /** The figure of a tile, as a number. */
  tile(label: string): Promise<number>;
  /** Waits until the page shows this text somewhere. */
  sees(text: string | RegExp, timeoutMs?: number): Promise<void>;
  /** The hash of a view: `#/users`. */
  go(hash: string): Promise<void>;
  /** Names in the rows of the list of users, from the top. */
  rows(): Promise<readonly string[]>;
}

/** A page must never print these: a fault of its script, or a refusal by its policy. */
const complaints = new Map<Page, string[]>();

export interface Opening {
  readonly url: string;
  /** Signs in with it. */
  readonly key?: string | undefined;
  readonly hash?: string;
  /** Runs in the page before its own script. */
  readonly before?: () => void;
}

export async function openDashboard(window: BrowserContext, opening: Opening): Promise<Dashboard> {
  const page = await window.newPage();
  const list: string[] = [];
  complaints.set(page, list);
  page.on('pageerror', (error) => list.push(error.message));
  page.on('console', (message) => {
    // The browser itself prints each answer that is not a success.
    const isNetwork = message.text().startsWith('Failed to load resource');
    if (['error', 'warning'].includes(message.type()) && !isNetwork) list.push(message.text());
  });
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.addInitScript(opening.before ?? english);
  await page.goto(`${opening.url}/dashboard/${opening.hash ?? ''}`);
  if (opening.key !== undefined) await signIn(page, opening.key);
  return {
    page,
    async tile(label) {
      const tile = page.locator('.tile', { has: page.getByText(label, { exact: true }) });
      const text = await tile.locator('.tile-figure').textContent({ timeout: 15_000 });
      return Number((text ?? '').replaceAll(',', ''));
    },
    sees: (text, timeoutMs = 20_000) =>
      page.getByText(text).first().waitFor({ state: 'visible', timeout: timeoutMs }),
    async go(hash) {
      await page.evaluate((next) => {
        (globalThis as unknown as { location: { hash: string } }).location.hash = next;
      }, hash);
    },
    async rows() {
      const rows = page.locator('.rows .row');
      const named = await rows.evaluateAll((elements) =>
        (
          elements as unknown as {
            ariaRowIndex: string;
            querySelector(name: string): { textContent: string };
          }[]
        )
          .map((row) => [Number(row.ariaRowIndex), row.querySelector('.name').textContent] as const)
          .sort(([left], [right]) => left - right)
          .map(([, name]) => name),
      );
      return named;
    },
  };
}

/**
 * A gateway, and a window for its dashboards. Tests that run one after the other share them; other windows run at the same time.
 */
export interface Boards {
  readonly gateway: Gateway;
  readonly window: BrowserContext;
  /** A dashboard that is closed after the test. */
  open(opening: Opening): Promise<Dashboard>;
}

export function useBoards(openWindow: () => Promise<BrowserContext>, options: GatewayOptions): Boards {
  let started: readonly [BrowserContext, Gateway] | undefined;
  const opened: Dashboard[] = [];
  beforeAll(async () => {
    started = await Promise.all([openWindow(), startGateway(options)]);
  });
  afterEach(() => closeQuietly(...opened.splice(0)));
  afterAll(() => started?.[1].stop());
  const boards: Boards = {
    get window() {
      return started?.[0] ?? expect.fail('no window');
    },
    get gateway() {
      return started?.[1] ?? expect.fail('no gateway');
    },
    async open(opening) {
      const dashboard = await openDashboard(boards.window, opening);
      opened.push(dashboard);
      return dashboard;
    },
  };
  return boards;
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel(/^Key/).fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.top').waitFor();
}

/** Closes the dashboard, after a check that it reported no errors. */
export async function closeQuietly(...dashboards: readonly Dashboard[]): Promise<void> {
  for (const { page } of dashboards) {
    const list = complaints.get(page) ?? [];
    complaints.delete(page);
    await page.close();
    expect(list).toEqual([]);
  }
}

export function untilTile(dashboard: Dashboard, label: string, match: (figure: number) => boolean) {
  return eventually(
    async () => {
      const figure = await dashboard.tile(label);
      if (!match(figure)) throw new Error(`${label} is ${figure}`);
      return figure;
    },
    { timeoutMs: 15_000 },
  );
}

export function untilRows(dashboard: Dashboard, match: (rows: readonly string[]) => boolean) {
  return eventually(
    async () => {
      const rows = await dashboard.rows();
      if (!match(rows)) throw new Error(`the rows are ${rows.slice(0, 5).join(', ')}`);
      return rows;
    },
    { timeoutMs: 15_000 },
  );
}

/** Answers instead of the gateway. False: the gateway answers. */
export type Trick = (request: IncomingMessage, response: ServerResponse) => boolean;

/** The tabs of a Chromium share their storage. */
function english(): void {
  localStorage.setItem('lingxi-language', 'en');
}

/** A proxy before a gateway. It can answer instead of the gateway, and change or hold its answers. */
export interface Front {
  readonly url: string;
  /** The requested paths, in order. */
  readonly asked: string[];
  trick: Trick;
  /** Changes each piece of an answer to this path. Undefined: the proxy holds the piece back. */
  alter: (path: string, piece: string) => string | undefined;
  stop(): Promise<void>;
}

export async function startFront(gatewayUrl: string): Promise<Front> {
  const target = new URL(gatewayUrl);
  const asked: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? '/';
    asked.push(path);
    if (front.trick(incoming, outgoing)) return;
    const { method, headers } = incoming;
    const onward = request({ host: target.hostname, port: target.port, path, method, headers });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    onward.on('response', (answer) => {
      const { 'content-length': _, ...kept } = answer.headers;
      outgoing.writeHead(answer.statusCode ?? 502, kept);
      const isText = !/gzip/.test(String(answer.headers['content-encoding']));
      if (isText) answer.setEncoding('utf8');
      answer.on('data', (piece: string | Buffer) => {
        const altered = typeof piece === 'string' ? front.alter(path, piece) : piece;
        if (altered !== undefined) outgoing.write(altered);
      });
      answer.on('end', () => outgoing.end());
      answer.on('error', () => outgoing.destroy());
    });
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  const front: Front = {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    trick: () => false,
    alter: (_, piece) => piece,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return front;
}

/** Answers with JSON. */
export function answerWith(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  return true;
}
