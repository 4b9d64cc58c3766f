import { homedir } from 'node:os';
import { join } from 'node:path';

/** The folder of the user's configuration: given, EDGEFORGE_CONFIG, $XDG_CONFIG_HOME/edgeforge, ~/.config/edgeforge. */
export const configFolder = (config?: string): string => config ?? process.env.EDGEFORGE_CONFIG ?? join(process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'edgeforge');
