import type { UserFacts } from './facts.ts';
import type { Site, SiteNode } from './site.ts';
import type { NodeLife } from './world.ts';

/** A frozen node gives no answer: after this time the client gives up. */
const ANSWER_TIMEOUT_MS = 5_000;

interface Answered {
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  /** 0: unknown. */
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The HTTP requests of one user. Each is recorded with the information in its answer. */
export class Asking {
  readonly #site: Site;
  readonly #facts: UserFacts;

  constructor(site: Site, facts: UserFacts) {
    this.#site = site;
    this.#facts = facts;
  }

  async login(node: SiteNode): Promise<boolean> {
    const { life, from, to, status, body } = await this.#post(node, 'login');
    const isIn = status === 200;
    this.#facts.logins.push({
      ...{ via: 'http', life, from, to, outcome: isIn ? 'in' : 'unknown', welcome: undefined },
      loginTime: isIn ? Number(body['loginTime']) : undefined,
      code: isIn ? undefined : `${status} ${String(body['code'])}`,
    });
    return isIn;
  }

  /** False: the answer reported that the user is offline. */
  async heartbeat(node: SiteNode): Promise<boolean> {
    const { life, from, to, status } = await this.#post(node, 'heartbeat');
    if (status === 404) {
      this.#facts.denials.push({ life, from, to, what: 'heartbeat' });
      return false;
    }
    const isHeard = status === 200;
    this.#facts.beats.push({
      via: 'http',
      life,
      from,
      ...(isHeard ? { to } : { to: undefined, gaveUpAt: to }),
    });
    return true;
  }

  async logout(
    node: SiteNode,
    named: { readonly epoch: number; readonly isOld: boolean } | undefined,
  ): Promise<'ended' | 'not-online' | 'unknown'> {
    const { life, from, to, status, body } = await this.#post(
      node,
      'logout',
      named === undefined ? {} : { epoch: String(named.epoch) },
    );
    const outcome = status === 200 ? 'ended' : status === 404 ? 'not-online' : 'unknown';
    if (outcome === 'not-online' && named?.isOld !== true)
      this.#facts.denials.push({
        life,
        from,
        to,
        ...(named === undefined ? { what: 'logout' } : { what: 'logout of an epoch', epoch: named.epoch }),
      });
    this.#facts.logouts.push({
      ...{ by: 'http', life, from, to, outcome },
      logoutTime: outcome === 'ended' ? Number(body['logoutTime']) : undefined,
      epoch: named === undefined ? 'none' : named.isOld ? 'old' : 'newest',
    });
    return outcome;
  }

  async #post(node: SiteNode, verb: string, more: object = {}): Promise<Answered> {
    const { userId } = this.#facts;
    const { life } = node;
    const from = Date.now();
    const answer = await fetch(`${node.gateway.url}/api/online/${verb}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#site.token(userId)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ playerId: String(userId), ...more }),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    })
      .then(async (response) => ({
        status: response.status,
        body: (await response.json()) as Answered['body'],
      }))
      .catch(() => ({ status: 0, body: {} }));
    return { life, from, to: Date.now(), ...answer };
  }
}
