import type { Device } from '../../../test/simulation/client.ts';
import type { Deployment } from '../../../test/simulation/deployment.ts';
import type { SimulatedNode } from '../../../test/simulation/simulated-node.ts';
import { type Action, SLOTS, type Slot, USERS } from './actions.ts';

const TABS = ['a', 'b'] as const;

/** The users, each with two tabs of a browser. */
export class Players {
  readonly #nodeOf: (slot: Slot) => SimulatedNode;
  readonly #tabs = new Map<number, readonly Device[]>();
  readonly #silent = new Set<number>();

  constructor(deployment: Deployment, nodeOf: (slot: Slot) => SimulatedNode) {
    this.#nodeOf = nodeOf;
    for (const user of USERS)
      this.#tabs.set(
        user,
        TABS.map((tab) => deployment.addDevice(user, tab)),
      );
  }

  tabsOf(user: number): readonly Device[] {
    return this.#tabs.get(user) ?? [];
  }

  isSilent(user: number): boolean {
    return this.#silent.has(user);
  }

  canDo(action: Action): boolean {
    switch (action.kind) {
      case 'connect':
        return !this.tabsOf(action.user).some(({ isBusy }) => isBusy);
      case 'silent':
      case 'close':
      case 'logout':
        return (
          this.#open(action.user) !== undefined && !(action.kind === 'silent' && this.isSilent(action.user))
        );
      case 'speak':
        return this.isSilent(action.user);
      case 'tab':
        return (
          this.#open(action.user) !== undefined && this.tabsOf(action.user).every(({ isBusy }) => !isBusy)
        );
      default:
        return true;
    }
  }

  do(action: Action): void {
    switch (action.kind) {
      case 'connect':
        return this.#connect(this.#inUse(action.user), this.#nodeOf(action.node));
      case 'tab':
        return this.#openTab(action.user);
      case 'silent':
        this.#silent.add(action.user);
        for (const { socket } of this.tabsOf(action.user)) if (socket !== undefined) socket.pings = false;
        return this.#stayAway(action.user);
      case 'speak':
        return this.#speak(action.user);
      case 'close':
        for (const { socket } of this.tabsOf(action.user)) socket?.leave(1000);
        return this.#stayAway(action.user);
      case 'logout':
        this.#stayAway(action.user);
        this.#open(action.user)?.socket?.say('{"type":"logout"}');
        return;
      default:
        return;
    }
  }

  #open(user: number): Device | undefined {
    return this.tabsOf(user).find(({ socket }) => socket !== undefined);
  }

  /** The tab with a socket, else the first one. */
  #inUse(user: number): Device {
    const device = this.#open(user) ?? this.tabsOf(user)[0];
    if (device === undefined) throw new Error(`no user ${user}`);
    return device;
  }

  #openTab(user: number): void {
    const other = this.tabsOf(user).find(({ socket }) => socket === undefined);
    const home = this.#open(user)?.socket?.node;
    const nodes = SLOTS.map(this.#nodeOf).filter(({ accepts }) => accepts);
    const node = nodes.find((choice) => choice !== home) ?? nodes[0];
    if (other !== undefined && node !== undefined) this.#connect(other, node);
  }

  #connect(device: Device, node: SimulatedNode): void {
    this.#silent.delete(device.userId);
    device.returns = true;
    device.connect(node);
  }

  #speak(user: number): void {
    this.#silent.delete(user);
    const open = this.tabsOf(user).filter(({ socket }) => socket !== undefined);
    for (const device of open) {
      device.returns = true;
      if (device.socket !== undefined) device.socket.pings = true;
    }
    if (open.length > 0) return;
    const node = SLOTS.map(this.#nodeOf).find(({ accepts }) => accepts) ?? this.#nodeOf('A');
    this.#connect(this.#inUse(user), node);
  }

  #stayAway(user: number): void {
    for (const device of this.tabsOf(user)) device.returns = false;
  }
}
