import type { Screen } from './screen.ts';
import { benchmarkScreen } from './screens/benchmark.tsx';
import { dataScreen } from './screens/data.tsx';
import { deployScreen } from './screens/deploy.tsx';
import { devicesScreen } from './screens/devices.tsx';
import { exportScreen } from './screens/export.tsx';
import { homeScreen } from './screens/home.tsx';
import { logScreen } from './screens/log.tsx';
import { pruneScreen } from './screens/prune.tsx';
import { runsScreen } from './screens/runs.tsx';
import { trainScreen } from './screens/train.tsx';
import type { ScreenName } from './state.ts';

/** Every screen, in the order of the tabs. A new one is a line here. */
export const screens: readonly Screen[] = [homeScreen, dataScreen, trainScreen, pruneScreen, exportScreen, devicesScreen, deployScreen, benchmarkScreen, runsScreen, logScreen];

/** The screen of a name; the first where it is not built yet. */
export const screenNamed = (name: ScreenName): Screen => screens.find(screen => screen.name === name) ?? (screens[0] as Screen);
