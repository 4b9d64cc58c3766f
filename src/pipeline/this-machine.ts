import { hostname } from 'node:os';

/** This machine's processor as a resource: one step at a time uses it, so that nothing is measured here while something else works. */
export const thisCpu = `cpu:${hostname()}`;
