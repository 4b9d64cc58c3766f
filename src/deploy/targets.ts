import type { Facts } from './device.ts';
export interface Target { readonly name: string }
export function targetFor(_facts: Facts): Target { throw new Error('not yet'); }
