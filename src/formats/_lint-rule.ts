import type { LintContext, LintFinding } from './deepstream-lint.ts';
import { type Ini, iniValue } from './ini.ts';

/** What one rule finds; undefined entries are nothing. */
export type Rule = (config: Config, context: LintContext) => readonly (LintFinding | undefined)[];

/** The [property] group with its lines. */
export class Config {
  readonly ini: Ini;
  constructor(ini: Ini) {
    this.ini = ini;
  }
  value(key: string): string | undefined {
    return iniValue(this.ini, 'property', key);
  }
  /** The config names a parser of its own. */
  get hasOwnParser(): boolean {
    return ['parse-bbox-func-name', 'parse-bbox-instance-mask-func-name', 'custom-lib-path'].some(key => this.value(key) !== undefined);
  }
  number(key: string, otherwise: number): number {
    // GKeyFile reads the number at the value's start: '3 ## a note' is 3.
    const value = Number.parseFloat(this.value(key) ?? '');
    return Number.isNaN(value) ? otherwise : value;
  }
  finding(severity: LintFinding['severity'], key: string, message: string, symptom: string, mend: string): LintFinding {
    const line = this.ini.groups
      .filter(({ name }) => name === 'property')
      .flatMap(({ entries }) => entries)
      .findLast(entry => entry.key === key)?.line;
    return { severity, key, ...(line === undefined ? {} : { line }), message, symptom, mend };
  }
}
