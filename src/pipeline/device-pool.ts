import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomic } from '../core/atomic-file.ts';
import { asEdgeError, type EdgeError } from '../core/errors.ts';
import { storeRoot } from '../core/store-root.ts';
import type { Facts } from '../deploy/device.ts';
import { type Device, openDevice } from '../deploy/open-device.ts';
import { type DeviceDefinition, deviceNamed } from '../deploy/registry.ts';
import { type Target, targetNamed } from '../deploy/targets.ts';
import type { Project } from './project.ts';

/** What planning knows of a device: its facts now, or the last ones and why it cannot be asked. */
export interface KnownDevice {
  readonly name: string;
  readonly target: Target;
  readonly facts: Facts;
  readonly runtime: 'tensorrt' | 'onnxruntime';
  readonly runtimeVersion: string;
  readonly thisMachine: boolean;
  /** As the project or the user's list has it. */
  readonly definition: DeviceDefinition;
  /** Set where the device does not answer: facts are those of `facts.at`. */
  readonly away?: EdgeError;
}

/** As much of a project as its devices need. */
export type DevicesOf = Pick<Project, 'folder' | 'file'> & { readonly settings: Pick<Project['settings'], 'devices'> };

/** The devices of a project: each is opened once, when somebody needs it, and all are closed together. */
export class DevicePool implements AsyncDisposable {
  readonly #project: DevicesOf;
  readonly #opened = new Map<string, Promise<Device>>();
  readonly #print: ((line: string) => void) | undefined;
  /** Old measurements do not count. */
  readonly measureAgain: boolean;

  constructor(project: DevicesOf, options: { readonly print?: (line: string) => void; readonly measureAgain?: boolean } = {}) {
    this.#project = project;
    this.#print = options.print;
    this.measureAgain = options.measureAgain === true;
  }

  /** The connected device. Throws `device-unknown` or what kept it from being reached; a failure is remembered for the pool's life. */
  open(name: string, signal?: AbortSignal): Promise<Device> {
    const known = this.#opened.get(name);
    if (known) return known;
    const definition = this.#definition(name);
    const opening = openDevice({ name, definition, project: this.#project.folder, ...(signal ? { signal } : {}), ...(this.#print ? { print: this.#print } : {}) });
    opening.catch(() => {});
    this.#opened.set(name, opening);
    return opening;
  }

  #definition(name: string): DeviceDefinition {
    return deviceNamed(name, this.#project.settings.devices);
  }

  /** What is known of the device for planning; asks it, or falls back on the facts of the last time. Throws where it was never reached. */
  async know(name: string): Promise<KnownDevice> {
    const file = join(storeRoot(this.#project.folder), 'devices', `${name}.json`);
    try {
      const { facts, target, runtime, thisMachine } = await this.open(name);
      const known = { facts, target: target.name, runtime: runtime.name, runtimeVersion: runtime.version(facts), thisMachine };
      await mkdir(join(file, '..'), { recursive: true });
      await writeAtomic(file, JSON.stringify(known, null, 1));
      return { ...known, name, target, definition: this.#definition(name) };
    } catch (error) {
      const away = asEdgeError(error);
      const text = await readFile(file, 'utf8').catch(() => undefined);
      if (text === undefined || away.code === 'project-invalid' || away.code === 'internal') throw away;
      const last = JSON.parse(text) as Omit<KnownDevice, 'name' | 'target' | 'definition'> & { target: string };
      return { ...last, name, target: targetNamed(last.target), definition: this.#definition(name), away };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opening of this.#opened.values()) await opening.then(device => device[Symbol.asyncDispose]()).catch(() => {});
    this.#opened.clear();
  }
}
