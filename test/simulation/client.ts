import type { ClientConnection } from '../../src/connection/client-connection.ts';
import type { Socket, SocketWrite } from '../../src/connection/socket.ts';
import { CloseCode } from '../../src/protocol/close-codes.ts';
import type { ClientProtocol } from '../../src/protocol/frames.ts';
import type { Random } from './random.ts';
import type { RevocationWitness } from './revocation-witness.ts';
import { type Scheduler, wallAt } from './scheduler.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { Strict } from './strict.ts';
import type { Witness } from './witness.ts';

const PING_INTERVAL_MS = 1000;
/** After this time a client abandons an upgrade or a request. */
const GIVE_UP_AFTER_MS = 5000;

/** One device of a user. It has at most one socket, which pings each second while the player is there. */
export class Device {
  readonly userId: number;
  readonly name: string;
  socket: ClientSocket | undefined;
  /** Only `lingxi.v1` has a logout message. */
  protocol: ClientProtocol = 'lingxi.v1';
  /** The groups of its token, as one text. */
  groups = '';
  /** Reconnects by itself after a close or a refusal. */
  returns = true;
  /** When the token was issued, as wall-clock ms in whole seconds. Undefined: this history revokes no tokens. */
  issuedAt: number | undefined;
  /** Gets a new token if its own is refused or revoked. Other devices retry with the old one. */
  renewsToken = true;
  readonly #world: ClientWorld;
  #connecting = false;

  constructor(userId: number, name: string, world: ClientWorld) {
    this.userId = userId;
    this.name = name;
    this.#world = world;
  }

  get isBusy(): boolean {
    return this.#connecting;
  }

  /** Connects to `node`. An open socket of this device is dropped without a close. */
  connect(node: SimulatedNode): void {
    if (this.#connecting) return;
    const { scheduler, random, trace } = this.#world;
    this.socket?.vanish();
    this.socket = undefined;
    this.#connecting = true;
    const attempt = new Attempt();
    const giveUp = scheduler.schedule(scheduler.now + GIVE_UP_AFTER_MS, () => {
      if (attempt.finish()) this.#refused();
    });
    attempt.finished = () => giveUp.cancel();
    trace(() => `${this.name} connects to ${node.name}`);
    scheduler.schedule(scheduler.now + random.int(1, 5), () => void this.#admit(node, attempt), node.clock);
  }

  async #admit(node: SimulatedNode, attempt: Attempt): Promise<void> {
    const { scheduler, random, trace, witness, strict } = this.#world;
    const refused = (): void => {
      if (attempt.finish()) this.#refused();
    };
    if (!node.accepts) return refused();
    const { userId, protocol, issuedAt, groups } = this;
    if (node.refuses(userId, issuedAt)) {
      this.#renewToken();
      return refused();
    }
    const request = { userId, username: '', ip: '', protocol, groups };
    const admitted = await node.tracker.admit(request);
    if (!admitted.ok) {
      witness.turnedAway(userId);
      trace(() => `${this.name} is refused by ${node.name}: ${admitted.error}`);
      strict.refused(userId, admitted.error);
      return refused();
    }
    const login = admitted.value;
    witness.accepted(node, login);
    strict.accepted(login);
    strict.came(userId, login.period, node.name);
    // The time of the upgrade itself. The client may have left before it.
    const upgradeMs = random.chance(0.1) ? random.int(5, 60) : 1;
    scheduler.schedule(
      scheduler.now + upgradeMs,
      () => {
        const leaves = !attempt.open || !node.accepts || random.chance(this.#world.leaves);
        if (leaves) {
          trace(() => `${this.name} left before its upgrade by ${node.name}`);
          node.tracker.abandon(login);
          return refused();
        }
        attempt.finish();
        this.#connecting = false;
        const socket = new ClientSocket(this, node, this.#world);
        this.socket = socket;
        strict.connected(socket);
        const token = issuedAt === undefined ? {} : { tokenIssuedAt: issuedAt };
        const connection = node.manager.register({ ...request, ...login, ...token }, socket);
        // An opened socket proves life, even if its token was revoked in between and the node closes it at once.
        if (connection.isOpen) witness.proved(node, { userId, period: login.period, kind: 'socket' });
        if (node.refuses(userId, issuedAt)) connection.close('token-revoked');
        this.#world.revocations.look(node, connection);
        trace(
          () => `${this.name} is connected to ${node.name}, epoch ${login.epoch}, period ${login.period}`,
        );
        socket.opened(connection);
      },
      node.clock,
    );
  }

  #renewToken(): void {
    if (this.issuedAt !== undefined && this.renewsToken) this.issuedAt = issuedNow(this.#world.scheduler);
  }

  #refused(): void {
    this.#connecting = false;
    this.comeBack();
  }

  comeBack(): void {
    const { scheduler, random, nodes } = this.#world;
    if (!this.returns) return;
    scheduler.schedule(scheduler.now + random.int(100, 3000), () => {
      const open = nodes().filter((node) => node.accepts && !node.clock.isFrozen);
      if (this.returns && !this.#connecting && this.socket === undefined && open.length > 0)
        this.connect(random.pick(open));
    });
  }

  closedBy(socket: ClientSocket, code: number): void {
    if (this.socket !== socket) return;
    this.socket = undefined;
    if (code === CloseCode.tokenExpired) this.#renewToken();
    if (code !== CloseCode.replaced && code !== CloseCode.loggedOut && code !== CloseCode.kicked)
      this.comeBack();
  }
}

/** The issue time of a token that is made now. `iat` has whole seconds. */
export function issuedNow({ now }: Pick<Scheduler, 'now'>): number {
  return Math.floor(wallAt(now, 0) / 1000) * 1000;
}

/** A client waits for an answer, up to a limit. */
class Attempt {
  open = true;
  finished: () => void = () => undefined;

  /** False if the client has already left. */
  finish(): boolean {
    if (!this.open) return false;
    this.open = false;
    this.finished();
    return true;
  }
}

export interface ClientWorld {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly witness: Witness;
  readonly strict: Strict;
  readonly revocations: RevocationWitness;
  readonly nodes: () => readonly SimulatedNode[];
  readonly trace: (text: () => string) => void;
  /** Share of clients that leave before their upgrade. */
  leaves: number;
}

/** Both ends of one socket: the end that the node uses, and the client at the other end. */
export class ClientSocket implements Socket {
  readonly device: Device;
  readonly node: SimulatedNode;
  pings = true;
  connection: ClientConnection | undefined;
  /** When its node last received a proof of life from it. */
  provenAt = Number.NEGATIVE_INFINITY;
  /** When its node closed it, or learned that it was closed. */
  goneAt: number | undefined;
  /** Whether anything passes between client and node. */
  #reachable = true;
  #closed = false;
  readonly #world: ClientWorld;

  constructor(device: Device, node: SimulatedNode, world: ClientWorld) {
    this.device = device;
    this.node = node;
    this.#world = world;
  }

  /** As the client sees it. */
  get isOpen(): boolean {
    return this.#reachable && !this.#closed && this.node.isUp;
  }

  opened(connection: ClientConnection): void {
    this.connection = connection;
    this.provenAt = this.#world.scheduler.now;
    this.#pingLater();
  }

  /** The client sends a text. It arrives a little later, unless the connection is dead. */
  say(text: string): void {
    const { scheduler, random, witness, strict } = this.#world;
    if (!this.#reachable) return;
    const hear = (): void => {
      const { connection } = this;
      if (!this.#reachable || connection === undefined || !connection.isOpen) return;
      const { userId, registration } = connection;
      this.provenAt = scheduler.now;
      witness.proved(this.node, { userId, period: registration.period, kind: 'socket' });
      strict.proved(userId, registration.period, this.node.name);
      connection.message(text);
    };
    scheduler.schedule(scheduler.now + random.int(1, 4), hear, this.node.clock);
  }

  /** The client closes, with a close frame or a reset. */
  close(code: number, reason?: string): void {
    if (reason !== undefined) return this.#closedByNode(code, reason);
    this.#end(code);
  }

  leave(code: 1000 | 1006): void {
    this.device.socket = undefined;
    this.#end(code);
  }

  /** Half open: neither end receives anything from the other again. */
  vanish(): void {
    this.#reachable = false;
    if (this.device.socket === this) this.device.socket = undefined;
  }

  send(): SocketWrite {
    return 'sent';
  }
  ping(): void {}
  terminate(): void {}
  bufferedBytes(): number {
    return 0;
  }

  #end(code: number): void {
    const { scheduler } = this.#world;
    if (this.#closed) return;
    this.#closed = true;
    const tell = (): void => {
      this.goneAt ??= scheduler.now;
      if (this.#reachable) this.connection?.closed(code, '');
      this.#reachable = false;
    };
    scheduler.schedule(scheduler.now + 2, tell, this.node.clock);
  }

  #closedByNode(code: number, reason: string): void {
    const { scheduler, trace } = this.#world;
    if (this.node.broken.closes?.(code) === false) return;
    this.goneAt ??= scheduler.now;
    trace(() => `${this.node.name} closes the socket of ${this.device.name}: ${code} ${reason}`);
    scheduler.schedule(scheduler.now + 2, () => {
      if (!this.#reachable || this.#closed) return;
      this.#closed = true;
      this.device.closedBy(this, code);
    });
    // A reachable client completes the closing handshake. Otherwise the TCP connection ends.
    scheduler.schedule(scheduler.now + 4, () => this.connection?.closed(code, reason), this.node.clock);
  }

  #pingLater(): void {
    const { scheduler } = this.#world;
    scheduler.carry(scheduler.now + PING_INTERVAL_MS, () => {
      if (this.#closed || !this.#reachable) return;
      // A reset shows the client that its node is gone.
      if (!this.node.isUp) {
        this.#closed = true;
        this.device.closedBy(this, 1006);
        return;
      }
      if (this.pings) this.say('{"type":"ping"}');
      this.#pingLater();
    });
  }
}
