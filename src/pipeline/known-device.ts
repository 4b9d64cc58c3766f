import { asEdgeError } from '../core/errors.ts';
import type { Recipe } from '../core/recipe.ts';
import type { DevicePool, KnownDevice } from './device-pool.ts';
import { reachStep } from './steps/device.ts';

/** What is known of a device; one that was never reached, or refuses, is no reason not to train or to deploy to others: a step of its own says why it is missing. */
async function knownOrNot(recipe: Recipe, pool: DevicePool, name: string): Promise<KnownDevice | undefined> {
  try {
    return await pool.know(name);
  } catch (error) {
    const code = asEdgeError(error).code;
    if (!['device-unreachable', 'connection-lost', 'login-refused', 'host-key-unknown', 'host-key-changed', 'timeout', 'device-refused', 'command-failed'].includes(code))
      throw error;
    recipe.add(reachStep(pool), { id: `reach ${name}`, config: { name }, inputs: {} });
    return undefined;
  }
}

/** What is known of each of these devices, those apart that `reach` steps stand for now. All are asked at once: one that does not answer costs its own patience only. */
export const knownDevices = async (recipe: Recipe, pool: DevicePool, names: readonly string[]): Promise<readonly KnownDevice[]> =>
  (await Promise.all(names.map(name => knownOrNot(recipe, pool, name)))).filter(device => device !== undefined);

/** Those that do not answer now, and how old what is known of them is. */
export const awayOf = (devices: readonly KnownDevice[]): readonly { readonly name: string; readonly message: string; readonly since: string }[] =>
  devices.flatMap(({ name, away, facts }) => (away ? [{ name, message: away.message, since: facts.at }] : []));
