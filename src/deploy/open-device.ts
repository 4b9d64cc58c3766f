import type { Facts, Runtime, Transport } from './device.ts';
import type { DeviceDefinition } from './registry.ts';
import type { Target } from './targets.ts';

/** A device reached now: how to reach it, what is known of it, and what runs networks there. */
export interface Device extends AsyncDisposable {
  readonly name: string;
  readonly transport: Transport;
  readonly facts: Facts;
  readonly target: Target;
  readonly runtime: Runtime;
  /** True for served and local devices: what runs there competes with this machine's own work (`cpu:<machine-id>`). */
  readonly thisMachine: boolean;
}
export interface OpenDeviceOptions {
  readonly name: string;
  readonly definition: DeviceDefinition;
  /** The project's folder (that of edgeforge.yaml): served devices keep their state under its .edgeforge/. */
  readonly project: string;
  /** Folder of the user's registry; default: EDGEFORGE_CONFIG, then $XDG_CONFIG_HOME/edgeforge, then ~/.config/edgeforge. */
  readonly config?: string;
  readonly signal?: AbortSignal;
  readonly askPassphrase?: (file: string) => Promise<string>;
  /** Prints every command instead of running it (`--dry-run`). */
  readonly print?: (line: string) => void;
}
/** Reaches a device, learns its facts in one round trip and chooses the runtime. */
export async function openDevice(_options: OpenDeviceOptions): Promise<Device> { throw new Error('not yet'); }
