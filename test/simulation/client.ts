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
/** After it a client gives an upgrade or a request up. */
const PATIENCE_MS = 5000;

/** One device of a user: at most one socket, which pings each second while its player is there. */
export class Device {
  readonly userId: number;
  readonly name: string;
  socket: ClientSocket | undefined;
  /** Only `lingxi.v1` knows a message that logs out. */
  protocol: ClientProtocol = 'lingxi.v1';
  /** Of its token, as one text. */
  groups = '';
  /** Connects again by itself after a close or a refusal. */
  returns = true;
  /** Wall-clock ms at which its token was issued, in whole seconds; undefined: nothing is revoked in this history. */
  issuedAt: number | undefined;
  /** Gets a new token if its own is refused or revoked. Others knock again with the old one. */
  renewsToken = true;
  readonly #world: ClientWorld;
  #dialling = false;

  constructor(userId: number, name: string, world: ClientWorld) {
    this.userId = userId;
    this.name = name;
    this.#world = world;
  }

  get isBusy(): boolean {
    return this.#dialling;
  }

  /** Connects to `node`; an open socket of this device is dropped without a word. */
  connect(node: SimulatedNode): void {
    if (this.#dialling) return;
    const { scheduler, random, trace } = this.#world;
    this.socket?.vanish();
    this.socket = undefined;
    this.#dialling = true;
    const attempt = new Attempt();
    const patience = scheduler.schedule(scheduler.now + PATIENCE_MS, () => {
      if (attempt.finish()) this.#refused();
    });
    attempt.finished = () => patience.cancel();
    trace(() => `${this.name} dials ${node.name}`);
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
    const dialled = await node.tracker.admit(request);
    if (!dialled.ok) {
      witness.turnedAway(userId);
      trace(() => `${this.name} is refused by ${node.name}: ${dialled.error}`);
      strict.refused(userId, dialled.error);
      return refused();
    }
    const dial = dialled.value;
    witness.accepted(node, dial);
    strict.accepted(dial);
    strict.came(userId, dial.period, node.name);
    // The upgrade itself, and a client that may have left before it.
    const upgradeMs = random.chance(0.1) ? random.int(5, 60) : 1;
    scheduler.schedule(
      scheduler.now + upgradeMs,
      () => {
        const leaves = !attempt.open || !node.accepts || random.chance(this.#world.leaves);
        if (leaves) {
          trace(() => `${this.name} left before its upgrade by ${node.name}`);
          node.tracker.abandon(dial);
          return refused();
        }
        attempt.finish();
        this.#dialling = false;
        const socket = new ClientSocket(this, node, this.#world);
        this.socket = socket;
        strict.connected(socket);
        const token = issuedAt === undefined ? {} : { tokenIssuedAt: issuedAt };
        const connection = node.manager.register({ ...request, ...dial, ...token }, socket);
        // A socket that opens proves life, also where its token was revoked meanwhile and it is closed at once.
        if (connection.isOpen) witness.proved(node, { userId, period: dial.period, kind: 'socket' });
        if (node.refuses(userId, issuedAt)) connection.close('token-revoked');
        this.#world.revocations.look(node, connection);
        trace(() => `${this.name} is connected to ${node.name}, epoch ${dial.epoch}, period ${dial.period}`);
        socket.opened(connection);
      },
      node.clock,
    );
  }

  #renewToken(): void {
    if (this.issuedAt !== undefined && this.renewsToken) this.issuedAt = issuedNow(this.#world.scheduler);
  }

  #refused(): void {
    this.#dialling = false;
    this.comeBack();
  }

  comeBack(): void {
    const { scheduler, random, nodes } = this.#world;
    if (!this.returns) return;
    scheduler.schedule(scheduler.now + random.int(100, 3000), () => {
      const open = nodes().filter((node) => node.accepts && !node.clock.isFrozen);
      if (this.returns && !this.#dialling && this.socket === undefined && open.length > 0)
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

/** The time that a token gets now: `iat` has whole seconds. */
export function issuedNow({ now }: Pick<Scheduler, 'now'>): number {
  return Math.floor(wallAt(now, 0) / 1000) * 1000;
}

/** A client waits for an answer until it has one or loses patience. */
class Attempt {
  open = true;
  finished: () => void = () => undefined;

  /** False where the client has left already. */
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

/** Both ends of one socket: what the node drives, and the client behind it. */
export class ClientSocket implements Socket {
  readonly device: Device;
  readonly node: SimulatedNode;
  pings = true;
  connection: ClientConnection | undefined;
  /** When its node last had a proof of life of it. */
  provenAt = Number.NEGATIVE_INFINITY;
  /** When its node heard, or decided, that it is closed. */
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

  /** As far as the client knows. */
  get isOpen(): boolean {
    return this.#reachable && !this.#closed && this.node.isUp;
  }

  opened(connection: ClientConnection): void {
    this.connection = connection;
    this.provenAt = this.#world.scheduler.now;
    this.#pingLater();
  }

  /** The client says something; it arrives a little later, if anything does. */
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

  /** Half open: neither end hears of the other again. */
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
    // The closing handshake ends where the peer is there, and the TCP connection otherwise.
    scheduler.schedule(scheduler.now + 4, () => this.connection?.closed(code, reason), this.node.clock);
  }

  #pingLater(): void {
    const { scheduler } = this.#world;
    scheduler.carry(scheduler.now + PING_INTERVAL_MS, () => {
      if (this.#closed || !this.#reachable) return;
      // A reset tells the client that its node is gone.
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
